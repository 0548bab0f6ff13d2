"""Two invocations of a stage at once, that both believe a shard to be theirs: what they write meets at the server."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from watchkeeper.ids import shard_of
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Stored
from watchkeeper.records import DEFAULT_TENANT, Alert, Delivery, Episode
from watchkeeper.series.query import readings
from watchkeeper.topology import ALERTS, DASHBOARD_ALERTS, DEVICE_TELEMETRY, EPISODES, OUTBOX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.emulators.interference import Asked, Interference
    from watchkeeper.ports import Ports, Row

    Way = Callable[["Two", str, str, int, Sequence[Stored]], None]

PATIENCE_S = 60.0
LOST = {409, 412}  # the status of a write whose condition does not hold
AT_ONCE = 2  # messages that two have
MESSAGES, EACH = 4, 15  # of the device, and readings in each, a second apart
KEEPING = ("clean", "rule_check", "ml_score", "store", "rag_explain", "notify")
BAD = (20, 40)  # readings between which it vibrates
_offsets = itertools.count(1_000_000)


class Two(Protocol):
    """Two instances of all functions, and the stores behind them; `between` is between their blobs and them."""

    receiver: str
    between: Interference
    ports: Ports
    partitions: int
    shards: int

    def take(self, who: int, stage: str, topic: str, partition: int, messages: Sequence[Stored]) -> str:
        """Give one of them a batch; answers what went wrong."""
        ...

    def messages(self, topic: str) -> dict[int, list[Stored]]:
        """All there is on a topic, by partition."""
        ...

    def said(self, device: str) -> list[tuple[str, str]]:
        """What the receiver has got of the alerts of a device: id and status, sorted."""
        ...


def is_state(stage: str) -> Callable[[Asked], bool]:
    """Whether a request writes a state of the stage."""
    return lambda asked: asked.method == "PUT" and f"/state/{stage}/" in asked.path


class Meeting:
    """A plan: the first two of these requests wait for each other, and go on together."""

    def __init__(self, wanted: Callable[[Asked], bool]) -> None:
        self._wanted, self._barrier, self._left = wanted, threading.Barrier(2), 2
        self._lock = threading.Lock()

    def __call__(self, asked: Asked) -> None:
        with self._lock:
            meets = self._wanted(asked) and self._left > 0
            self._left -= meets
        if meets:
            self._barrier.wait(PATIENCE_S)


class Held:
    """A plan: the first of these requests is held until `let_go`; `come` says that it is there."""

    def __init__(self, wanted: Callable[[Asked], bool]) -> None:
        self._wanted, self._lock = wanted, threading.Lock()
        self.come, self.let_go = threading.Event(), threading.Event()

    def __call__(self, asked: Asked) -> None:
        with self._lock:
            holds = self._wanted(asked) and not self.come.is_set()
            if holds:
                self.come.set()
        if holds:
            assert self.let_go.wait(PATIENCE_S)


def at_once(two: Two, stage: str, topic: str, partition: int, messages: Sequence[Stored]) -> None:
    """Both have the same batch, and write their states in the same moment."""
    two.between.plan = Meeting(is_state(stage))
    with ThreadPoolExecutor(2) as pool:
        took = list(pool.map(lambda who: two.take(who, stage, topic, partition, messages), range(2)))
    assert took == ["", ""]


def overtaken(two: Two, stage: str, topic: str, partition: int, messages: Sequence[Stored]) -> None:
    """One has lost its lease before it writes its state; the other was given its batch, with what has come since."""
    two.between.plan = held = Held(is_state(stage))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(two.take, 0, stage, topic, partition, messages[: (len(messages) + 1) // 2])
        assert held.come.wait(PATIENCE_S), first.result(PATIENCE_S)
        try:
            assert two.take(1, stage, topic, partition, messages) == ""
        finally:
            held.let_go.set()
        assert first.result(PATIENCE_S) == ""


class Ran(NamedTuple):
    """What came of it: alerts as they are on their topic, and how many writes of states were refused, by stage."""

    alerts: list[Stored]
    lost: dict[str, int]


def run_through(
    two: Two, device: str, now: int, way: Way, stages: Sequence[str] = KEEPING, alone: Sequence[str] = ()
) -> Ran:
    """A device vibrates; each stage takes messages one by one, but for the last ones, which are taken in this way.

    Those `alone` take all of them so.
    """
    lost = {}
    partition = shard_of(DEFAULT_TENANT, device, two.shards) % two.partitions
    topics = {STAGES[stage].topics[0] for stage in KEEPING}
    place = {topic.name: partition if topic.sharded else 0 for topic in topics}
    before = {name: len(two.messages(name)[where]) for name, where in place.items()}
    for number in range(MESSAGES):
        message = Stored(next(_offsets), 0, _body(number, now), {"device": device, "received": str(now)})
        assert two.take(0, "ingest", DEVICE_TELEMETRY.name, 0, [message]) == ""
    for stage in stages:
        topic = STAGES[stage].topics[0].name
        messages = two.messages(topic)[place[topic]][before[topic] :]
        while messages and (stage in alone or len(messages) > AT_ONCE):
            assert two.take(0, stage, topic, place[topic], [messages.pop(0)]) == ""
        if stage in alone:
            continue
        assert len(messages) == AT_ONCE, f"{stage} has {len(messages)} messages"
        two.between.answered.clear()
        way(two, stage, topic, place[topic], messages)
        lost[stage] = sum(status in LOST for asked, status in two.between.answered if is_state(stage)(asked))
    return Ran(two.messages(DASHBOARD_ALERTS.name)[0][before[DASHBOARD_ALERTS.name] :], lost)


def wrong_of(two: Two, device: str, now: int) -> list[str]:
    """What is not as if one had done it all. A firing may be overtaken by its end, and then is not said."""
    series = readings(two.ports.blobs, shard_of(DEFAULT_TENANT, device, two.shards), DEFAULT_TENANT, device)
    times = sorted(series.ts.tolist())
    should = [now - (MESSAGES * EACH - second) * 1000 for second in range(MESSAGES * EACH)]
    wrong = [] if times == should else [f"{len(times)} readings, {len(should)} were sent"]
    episodes = [msgspec.json.decode(row.value, type=Episode) for row in _rows(two, EPISODES.name)]
    alerts = [msgspec.json.decode(row.value, type=Alert) for row in _rows(two, ALERTS.name)]
    ours = sorted(each.id for each in episodes if each.device == device)
    if not ours or sorted(alert.id for alert in alerts if alert.device == device) != ours:
        wrong.append(f"{len(ours)} episodes, and not an alert for each")
    if any(each.closed is None for each in episodes if each.device == device and each.detector.startswith("rule:")):
        wrong.append("an episode is still open")
    rows = [msgspec.json.decode(row.value, type=Delivery) for row in _rows(two, OUTBOX.name, two.receiver)]
    rows = [row for row in rows if row.alert.device == device]
    sent = sorted((row.alert.id, row.alert.status) for row in rows if row.state == "sent")
    if {row.alert.status for row in rows if row.state != "sent"} - {"firing"} or not sent or two.said(device) != sent:
        wrong.append(f"said {two.said(device)}; in the outbox {[(row.id, row.state) for row in rows]}")
    return wrong


def _rows(two: Two, table: str, partition: str = DEFAULT_TENANT) -> list[Row]:
    return two.ports.tables.query(table, partition, limit=1000)


def _body(number: int, now: int) -> bytes:
    seconds = range(number * EACH, (number + 1) * EACH)
    return msgspec.json.encode([
        {"ts": now - (MESSAGES * EACH - second) * 1000,
         "values": {"flow": 100.0 + second / 100, "vibration": 8.9 if BAD[0] <= second < BAD[1] else 2.0}}
        for second in seconds
    ])  # fmt: skip
