"""What is sent: a day in small, told as stories. A story is one device and what happens to it.

Time is divided into rounds of ten seconds. A story is small and prints itself, so that a failing example can be read.
"""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING

import msgspec

from watchkeeper.ids import shard_of
from watchkeeper.packs import Pack, Table
from watchkeeper.records import DEFAULT_TENANT, Device
from watchkeeper.topology import BATCH_DATA_INGESTION, IOT_DATA_INGESTION, RULE_CHECK_OUTPUT, TOPICS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from watchkeeper.topology import Topic

SHARDS, PARTITIONS = 4, 2
START = 1_772_352_000_000  # 2026-03-01T08:00Z
ROUND_MS = 10_000
ROUNDS = 20
NOMINAL = {
    "flow": 120.0, "suction_pressure": 1.6, "discharge_pressure": 6.2, "motor_current": 42.0,
    "motor_voltage": 400.0, "vibration": 2.0, "bearing_temperature": 58.0, "filter_dp": 0.25,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class FromHub:
    """A message of a device; `again` is whether a nervous device may send it twice (it has a time of its own)."""

    at: int
    device: str
    body: bytes
    again: bool = True


@dataclasses.dataclass(frozen=True)
class Request:
    """An HTTP request under its idempotency key."""

    at: int
    topic: Topic
    form: str
    body: bytes
    key: str
    again: bool = True


@dataclasses.dataclass(frozen=True)
class Garbage:
    """Bytes that somebody put into a topic of ours."""

    at: int
    topic: str
    shard: int
    body: bytes


Event = FromHub | Request | Garbage


@dataclasses.dataclass(frozen=True)
class Story:
    """A device, what happens to it, from which round on and for how many; `returns`: it speaks again after the gap."""

    kind: str
    start: int = 3
    length: int = 5
    returns: bool = False


@dataclasses.dataclass
class Told:
    """A story as events, and what must become of the readings in it. `stored` has (device, time or None)."""

    events: list[Event] = dataclasses.field(default_factory=list)
    stored: list[tuple[str, int | None]] = dataclasses.field(default_factory=list)
    repeated: int = 0
    dead: int = 0
    shed: int = 0


def at_round(number: float) -> int:
    """Epoch ms of a round."""
    return START + round(number * ROUND_MS)


class _Telling:
    """One story being told."""

    def __init__(self, story: Story, number: int) -> None:
        self.story, self.number, self.told = story, number, Told()
        self.random = random.Random(f"{number} {story.kind}")
        self.device = f"pump-{number}"

    def values(self, **other: float | None) -> dict[str, float | None]:
        """A reading's values: nominal with a little noise, and what is said otherwise."""
        noisy = {name: round(value * self.random.uniform(0.99, 1.01), 3) for name, value in NOMINAL.items()}
        return noisy | other

    def rounds(self) -> Iterator[tuple[int, bool]]:
        """Each round, and whether the story's trouble is on."""
        for number in range(ROUNDS):
            yield number, self.story.start <= number < self.story.start + self.story.length

    def send(
        self,
        number: float,
        values: dict[str, float | None],
        *,
        ts: int | None = 0,
        fate: str = "stored",
        **more: object,
    ) -> bytes:
        """One reading in one message of the hub. `ts` 0: now; None: the device has no clock."""
        at = at_round(number)
        ts = at if ts == 0 else ts
        body = msgspec.json.encode({"values": values, **({} if ts is None else {"ts": ts}), **more})
        self.told.events.append(FromHub(at, self.device, body, again=ts is not None))
        if fate == "stored":
            self.told.stored.append((self.device, ts))
        else:
            setattr(self.told, fate, getattr(self.told, fate) + 1)
        return body

    def post(self, number: float, topic: Topic, form: str, body: bytes, *, again: bool = True) -> None:
        """One request."""
        key = f"key-{self.number}-{len(self.told.events)}"
        self.told.events.append(Request(at_round(number), topic, form, body, key, again))

    def garbage(self, number: float, topic: str, body: bytes) -> None:
        """Bytes into a topic of ours."""
        self.told.events.append(Garbage(at_round(number), topic, self.number % SHARDS, body))


def tell(story: Story, number: int) -> Told:
    """A story as events; `number` makes the device's name."""
    telling = _Telling(story, number)
    (STORIES | TOO_HARD | TOO_LONG)[story.kind](telling)
    if story.returns:
        telling.send(ROUNDS + 65, telling.values(), fate="shed" if story.kind == "cheap" else "stored")
    return telling.told


def _healthy(t: _Telling) -> None:
    for number, on in t.rounds():
        t.send(number, t.values(), tags={"operator": "ann", "batch": number // 5} if on else {})


def _hot(t: _Telling) -> None:
    for number, on in t.rounds():
        t.send(number, t.values(bearing_temperature=91.0 + number % 3 if on else 58.0))


def _dips(t: _Telling) -> None:
    """Episodes of a few readings, one after the other: the rule holds for two seconds."""
    for number, on in t.rounds():
        t.send(number, t.values(motor_voltage=300.0 if on and number % 5 < 3 else 400.0))
        t.send(number + 0.5, t.values(motor_voltage=300.0 if on and number % 5 < 2 else 400.0))


def _late(t: _Telling) -> None:
    for number, on in t.rounds():
        t.send(number, t.values())
        if on and number > 10:
            t.send(number + 0.2, t.values(vibration=9.0), ts=at_round(number - 9.3))


def _corrected(t: _Telling) -> None:
    for number, on in t.rounds():
        t.send(number, t.values())
        if on:
            t.send(number + 0.3, t.values(flow=70.0), ts=at_round(number - number % 3))


def _repeated(t: _Telling) -> None:
    """A device that sends everything twice, sometimes much later."""
    bodies = []
    for number, on in t.rounds():
        bodies.append(t.send(number, t.values(filter_dp=1.4 if on else 0.25)))
        if on:
            again = bodies[max(0, number - number % 4)]
            t.told.events.append(FromHub(at_round(number + 0.4), t.device, again))
            t.told.repeated += 1


def _future(t: _Telling) -> None:
    for number, on in t.rounds():
        if on:
            t.send(number, t.values(), ts=at_round(number + 100), fate="dead")
        t.send(number + 0.1, t.values())


def _impossible(t: _Telling) -> None:
    for number, on in t.rounds():
        wrong = [{"vibration": 4000.0}, {"bearing_temperature": -999.0}, {"flow": None}][number % 3] if on else {}
        t.send(number, t.values(**wrong))


def _no_clock(t: _Telling) -> None:
    for number, on in t.rounds():
        t.send(number, t.values(vibration=8.5 if on else 2.0), ts=None)
        t.send(number, {"rpm": 1500.0 + number}, ts=None)


def _two_sets(t: _Telling) -> None:
    for number, on in t.rounds():
        t.send(number, {"bearing_temperature": 92.0 if on else 58.0, "vibration": 2.0})
        t.send(number + 0.5, {"flow": 60.0 if on else 120.0})


def _two_sets_late(t: _Telling) -> None:
    for number, on in t.rounds():
        t.send(number, {"bearing_temperature": 58.0, "vibration": 2.0})
        if on and number > 10:
            t.send(number + 0.5, {"flow": 120.0 + number}, ts=at_round(number - 6.5))


def _list(t: _Telling) -> None:
    """Messages of several readings, a bad one among them."""
    for number, on in t.rounds():
        good = [
            {"ts": at_round(number) + i * 1000, "values": t.values(suction_pressure=0.5 if on else 1.6)}
            for i in range(4)
        ]
        readings: list[object] = list(good)
        if on:
            readings.insert(number % 4, {"ts": "yesterday", "values": {"flow": 1}})
            readings.insert(1, {"values": {"flow": "much"}})
            t.told.dead += 2
        t.told.events.append(FromHub(at_round(number + 0.4), t.device, msgspec.json.encode(readings)))
        t.told.stored += [(t.device, at_round(number) + i * 1000) for i in range(4)]


def _noise(t: _Telling) -> None:
    """A device that sends no JSON now and then."""
    for number, on in t.rounds():
        t.send(number, t.values())
        if on:
            t.told.events.append(FromHub(at_round(number + 0.1), t.device, b"\x00\xff{" + bytes([number]) * number))
            t.told.dead += 1


def _poison(t: _Telling) -> None:
    """Garbage in every topic of ours, and a pack that no model can score."""
    topics = [topic.name for topic in TOPICS.values() if topic.carries != "raw" and topic.name != "dead-letter"]
    for number, on in t.rounds():
        t.send(number, t.values())
        if on:
            t.garbage(number, topics[number % len(topics)], b'{"type":"pack"' + bytes([number + 1]))
    table = Table.build(("flow", "flow"), [0], [START], [START], [[1.0], [2.0]])
    twice = Pack(t.number % SHARDS, [Device(DEFAULT_TENANT, t.device)], [table])
    t.garbage(t.story.start, RULE_CHECK_OUTPUT.name, twice.encode())


def _cheap(t: _Telling) -> None:
    """Of low importance: refused, for the budget is spent."""
    t.device = f"pump-low-{t.number}"
    for number, _ in t.rounds():
        t.send(number, t.values(), fate="shed")


def _by_http(t: _Telling) -> None:
    """A host that posts what it measured, with a bad reading now and then."""
    t.device = f"host-{t.number}"
    for number, on in t.rounds():
        cpu = 97.0 if on else 20.0
        readings = [
            {"device": t.device, "ts": at_round(number) + i * 3000, "values": {"cpu_percent": cpu, "load_1m": 1.0 + i}}
            for i in range(3)
        ]
        if number == t.story.start:
            readings.append({"device": "no such name!", "values": {"cpu_percent": 1.0}})
            t.told.dead += 1
        t.post(number + 0.9, IOT_DATA_INGESTION, "json", msgspec.json.encode(readings))
        t.told.stored += [(t.device, at_round(number) + i * 3000) for i in range(3)]


def _post_no_clock(t: _Telling) -> None:
    """A client without a clock that posts the same request again under its key."""
    t.device = f"host-{t.number}"
    for number, on in t.rounds():
        readings = [{"device": t.device, "values": {"cpu_percent": 96.0 if on else 30.0 + i}} for i in range(2)]
        t.post(number, IOT_DATA_INGESTION, "json", msgspec.json.encode({"readings": readings}))
        t.told.stored += [(t.device, None)] * 2


def _history(t: _Telling) -> None:
    """Yesterday as CSV, with trouble in it that pages nobody; then today, with a jump that only the model can see."""
    t.device = f"motor-{t.number}"
    day_before = START - 24 * 3_600_000
    rows = ["device,ts,winding_temperature,vibration,tag.line"]
    for i in range(130):
        hot = 150.0 if 20 <= i < 30 else 80.0 + t.random.random()
        rows.append(f"{t.device},{day_before + i * 5000},{hot:.2f},{2 + t.random.random() / 10:.3f},a")
        t.told.stored.append((t.device, day_before + i * 5000))
    t.post(0, BATCH_DATA_INGESTION, "csv", "\n".join(rows).encode())
    for number, on in t.rounds():
        ts = at_round(number)
        readings = [
            {"device": t.device, "ts": ts, "values": {"winding_temperature": 81.0, "vibration": 14.0 if on else 2.05}}
        ]
        t.post(number, BATCH_DATA_INGESTION, "json", msgspec.json.encode(readings))
        t.told.stored.append((t.device, ts))


def _unknown(t: _Telling) -> None:
    """A device that no catalogue knows, with a site and a silence of its own."""
    t.device = f"lift-{t.number}"
    for number, on in t.rounds():
        if not on:
            t.send(number, {"cabin_speed": 1.0 + number / 100}, site="tower")


def _morning(t: _Telling) -> None:
    """Two hours, a reading a minute, that nobody has taken before the day begins; a metric is new after 100 minutes."""
    for minute in range(120):
        new = {"oil_level": 0.8} if minute >= 100 else {}
        t.send((minute - 120) * 6, t.values(bearing_temperature=40.0 + minute / 4, **new))


STORIES: dict[str, Callable[[_Telling], None]] = {
    "healthy": _healthy,
    "hot": _hot,
    "dips": _dips,
    "late": _late,
    "corrected": _corrected,
    "repeated": _repeated,
    "future": _future,
    "impossible": _impossible,
    "no clock": _no_clock,
    "two sets": _two_sets,
    "list": _list,
    "noise": _noise,
    "poison": _poison,
    "cheap": _cheap,
    "by http": _by_http,
    "post no clock": _post_no_clock,
    "history": _history,
    "unknown": _unknown,
}


# Stories that come to different ends by how the stream is cut; see the tests that expect them to fail.
TOO_HARD = {"two sets, late": _two_sets_late}
TOO_LONG = {"morning": _morning}  # for many examples


@dataclasses.dataclass(frozen=True)
class Scenario:
    """Some stories at once. `night`: seven hours pass at the end, so that what nobody speaks of any more is closed."""

    stories: tuple[Story, ...]
    night: bool = False

    def told(self) -> Told:
        """All events in their order, and what must become of the readings."""
        whole = Told()
        for number, story in enumerate(self.stories, start=1):
            told = tell(story, number)
            whole.events += told.events
            whole.stored += told.stored
            for name in ("repeated", "dead", "shed"):
                setattr(whole, name, getattr(whole, name) + getattr(told, name))
        whole.events.sort(key=lambda event: event.at)
        return whole

    def devices(self) -> list[str]:
        """The devices that have readings in the final series."""
        return sorted({device for device, _ in self.told().stored})

    def __str__(self) -> str:
        """For a failing test."""
        lines = [
            f"  {n}. {s.kind} from round {s.start} for {s.length}{', heard again' * s.returns}"
            for n, s in enumerate(self.stories, 1)
        ]
        return "\n".join(["stories:", *lines, *["  then a night passes"] * self.night])


def shard(device: str) -> int:
    """The shard of a device."""
    return shard_of(DEFAULT_TENANT, device, SHARDS)
