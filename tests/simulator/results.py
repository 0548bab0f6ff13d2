"""What has become of it all, in a form that two runs can be compared in, and what must be true of every run.

What legitimately differs between runs is left out: when something was processed (`seen`, `sent`, a dead letter's `ts`,
and `received` of a silence, which is noticed by the clock), where something lay in an inner topic (origins, offsets;
more copies, other offsets), whether the model's words came before the end of an alert (its report says so), how far
behind a device's `last_seen` is (by contract up to a minute), and how often an unanswered alert was said again.
"""

from __future__ import annotations

import base64
import dataclasses
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tests.simulator.scenario import Told, shard
from tests.simulator.world import PHONE
from watchkeeper.errors import DecodeError
from watchkeeper.packs import Pack
from watchkeeper.records import (
    DEFAULT_TENANT,
    Alert,
    Anomaly,
    DeadLetter,
    Delivery,
    DeviceRecord,
    Episode,
    Flag,
    QualityRecord,
    Report,
)
from watchkeeper.series import query, readings
from watchkeeper.topology import (
    ALERTS,
    DEAD_LETTER,
    DEVICES,
    EPISODES,
    OUTBOX,
    QUALITY,
    RAG_ERROR_REPORTING,
    REPORTS,
    TOPICS,
)

if TYPE_CHECKING:
    from tests.simulator.world import World
    from watchkeeper.ports import Ports
    from watchkeeper.topology import TableSpec


@dataclasses.dataclass
class Results:
    """Everything that a run leaves behind, by kind and by id."""

    series: dict[str, list[tuple[Any, ...]]]
    finals: dict[str, list[tuple[Any, ...]]]
    anomalies: dict[str, Any]
    episodes: dict[str, Any]
    reports: dict[str, Any]
    alerts: dict[str, Any]
    devices: dict[str, Any]
    qualities: dict[str, Any]
    told: set[str]
    pending: set[str]
    dead: set[tuple[str, str]]

    def differences(self, other: Results) -> list[str]:
        """How this differs from what it should be, a line each."""
        found = []
        for field in dataclasses.fields(self):
            mine, others = getattr(self, field.name), getattr(other, field.name)
            if isinstance(mine, set):
                found += [f"{field.name}: missing {item}" for item in sorted(others - mine)]
                found += [f"{field.name}: unexpected {item}" for item in sorted(mine - others)]
                continue
            for name in sorted({*mine, *others}):
                is_, should = mine.get(name), others.get(name)
                if is_ != should:
                    found.append(f"{field.name} of {name}:")
                    found += [f"    is        {_first(is_, should)}", f"    should be {_first(should, is_)}"]
        return found


def _first(one: Any, other: Any) -> str:
    """Of two lists of readings, only what differs first."""
    if isinstance(one, list) and isinstance(other, list):
        place = next(
            (i for i, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other))
        )
        return f"{len(one)} readings; at {place}: {one[place : place + 1]}"
    if isinstance(one, dict) and isinstance(other, dict):
        return str({name: value for name, value in one.items() if value != other.get(name)})
    return str(one)


def results_of(world: World, told: Told) -> Results:
    """What a run has left behind. Fails where a record contradicts itself."""
    ports = world.ports
    outbox = _rows(ports, OUTBOX, Delivery, PHONE)
    devices = sorted({device for device, _ in told.stored})
    return Results(
        {device: _series(ports, device) for device in devices},
        {device: _finals(ports, device) for device in devices},
        _anomalies(ports),
        {
            e.id: _plain(e, "seen", "taken", "received") | {"anomaly": _anomaly(e.anomaly)}
            for e in _rows(ports, EPISODES, Episode)
        },
        {report.episode: _report(report) for report in _rows(ports, REPORTS, Report)},
        {alert.id: _alert(alert) for alert in _rows(ports, ALERTS, Alert)},
        {device.device: _plain(device, "last_seen") for device in _rows(ports, DEVICES, DeviceRecord)},
        {
            f"{q.device} {q.start} {q.source} {sorted(q.metrics)}": _plain(q)
            for q in _rows(ports, QUALITY, QualityRecord)
        },
        {alert.id for alert in world.phone.alerts},
        {row.id for row in outbox if row.state not in {"sent", "superseded"}},
        {_dead(letter) for letter in dead_letters(ports)},
    )


def wrong_in(world: World, results: Results, told: Told) -> list[str]:
    """What is wrong in a run, whatever others may look like; a line each."""
    wrong = []
    stored = Counter((device, ts) for device, rows in results.series.items() for ts, *_ in rows)
    no_clock = Counter(device for device, ts in told.stored if ts is None)
    own = Counter((device, ts) for device, ts in told.stored if ts is not None)
    wrong += [f"{item}: stored {stored[item]} times, accepted {n} times" for item, n in own.items() if stored[item] < n]
    extra = Counter(device for device, _ in (stored - own).elements())
    if extra != no_clock:
        wrong.append(
            f"beside the readings with a time of their own there are {dict(extra)}, sent were {dict(no_clock)}"
        )
    ids = Counter(letter.id for letter in dead_letters(world.ports))
    contents = {letter.id: (letter.stage, letter.body) for letter in dead_letters(world.ports)}
    if len(contents) < len({(letter.stage, letter.body) for letter in dead_letters(world.ports)}):
        wrong.append(f"two dead letters under one id: {ids}")
    backfill = {e for e, episode in results.episodes.items() if episode["backfill"]}
    wrong += [f"{alert} of a backfill was sent" for alert in results.told if alert in backfill]
    wrong += [f"{delivery} never arrived" for delivery in results.pending]
    wrong += [f"episode {e} has no alert" for e in results.episodes if e not in results.alerts]
    wrong += _slots_with_two_open(results)
    for name, alert in results.alerts.items():
        closed = results.episodes.get(name, {}).get("closed")
        if (alert["status"] == "resolved") != (closed is not None):
            wrong.append(f"alert {name} is {alert['status']}, its episode was closed at {closed}")
        if alert["pages"]:
            wrong += _unsaid(world, name, alert["status"])
    return wrong


def _unsaid(world: World, alert: str, status: str) -> list[str]:
    """What the phone was never told of an alert. A firing may be overtaken by its end while the phone is away."""
    said = {each.status for each in world.phone.alerts if each.id == alert}
    if status == "resolved":
        outbox = [row for row in _rows(world.ports, OUTBOX, Delivery, PHONE) if row.alert.id == alert]
        overtaken = any(row.state == "superseded" and row.alert.status == "firing" for row in outbox)
        due = {"resolved"} if overtaken else {"firing", "resolved"}
    else:
        due = {"firing"}
    return [f"{each} of {alert} was never sent" for each in sorted(due - said)]


def unaccounted(world: World) -> list[str]:
    """Accepted is stored, dead, deduplicated or shed: where nothing is lost and the meter cannot count twice."""
    totals = world.ports.meter.total("2000-01-01", "2199-01-01")
    sums: Counter[str] = Counter()
    for amounts in totals.values():
        sums.update({name: round(amount) for name, amount in amounts.items()})
    inner = {topic.name for topic in TOPICS.values() if topic.carries != "raw"}
    garbage = sum(_size(letter) for letter in dead_letters(world.ports) if letter.topic in inner)  # accepted by nobody
    accounted = sums["stored"] + sums["dead"] - garbage + sums["deduplicated"] + sums["shed"]
    if sums["accepted"] == accounted:
        return []
    return [f"{sums['accepted']} accepted, {accounted} accounted for: {dict(sums)}, {garbage} of the dead were garbage"]


def dead_letters(ports: Ports) -> list[DeadLetter]:
    """All of them, in their order."""
    held = [
        ports.stream.read(DEAD_LETTER.name, p, -1, 99_999) for p in range(ports.stream.partitions(DEAD_LETTER.name))
    ]
    return [msgspec.json.decode(message.value, type=DeadLetter) for messages in held for message in messages]


def _slots_with_two_open(results: Results) -> list[str]:
    still = Counter((e["device"], e["detector"]) for e in results.episodes.values() if e.get("closed") is None)
    return [f"{n} open episodes of {slot}" for slot, n in still.items() if n > 1]


def _series(ports: Ports, device: str) -> list[tuple[Any, ...]]:
    rows = readings(ports.blobs, shard(device), DEFAULT_TENANT, device)
    told = []
    for row in range(len(rows.ts)):
        values = {m: float(v) for m, v in zip(rows.metrics, rows.values[:, row], strict=True) if not np.isnan(v)}
        told.append((
            int(rows.ts[row]), int(rows.received[row]), dict(sorted(values.items())), str(Flag(int(rows.flags[row]))),
            round(float(rows.score[row]), 4), sorted(rows.rules.get(row, ())), rows.tags.get(row, {}),
        ))  # fmt: skip
    return sorted(told, key=str)


def _finals(ports: Ports, device: str) -> list[tuple[Any, ...]]:
    """What people are shown: of several readings at one time, the one that arrived last."""
    metrics = readings(ports.blobs, shard(device), DEFAULT_TENANT, device).metrics
    return [
        (metric, *point)
        for metric in sorted(metrics)
        for point in query(ports.blobs, shard(device), DEFAULT_TENANT, device, metric, None, None, 99_999).points
    ]


def _anomalies(ports: Ports) -> dict[str, Any]:
    found: dict[str, Any] = {}
    topic = RAG_ERROR_REPORTING.name
    for partition in range(ports.stream.partitions(topic)):
        for message in ports.stream.read(topic, partition, -1, 99_999):
            try:
                anomaly = msgspec.json.decode(message.value, type=Anomaly)
            except msgspec.MsgspecError:
                continue  # poison
            plain = _anomaly(anomaly)
            assert found.setdefault(anomaly.id, plain) == plain, f"two anomalies have the id {anomaly.id}"
    return found


def _report(report: Report) -> dict[str, Any]:
    """A report; of a model's only that it is there, for what it is shown depends on when it is asked."""
    by_rules = report.written_by == "rules"
    return _plain(report) if by_rules else _plain(report, "what", "causes", "steps", "sources")


def _alert(alert: Alert) -> dict[str, Any]:
    """An alert; how many readings stand behind it is final when it ends, before that it is as of the last word."""
    timing = ("sent", "origin", "received", "report")
    return _plain(alert, *timing) if alert.status == "resolved" else _plain(alert, *timing, "count")


def _anomaly(anomaly: Anomaly | None) -> dict[str, Any]:
    if anomaly is None:
        return {}
    return _plain(anomaly, "origin", *(["received"] if anomaly.detector.startswith("silence:") else []))


def _rows(ports: Ports, table: TableSpec, kind: Any, partition: str = DEFAULT_TENANT) -> list[Any]:
    return [msgspec.json.decode(row.value, type=kind) for row in ports.tables.query(table.name, partition, limit=9999)]


def _plain(record: Any, *left_out: str) -> dict[str, Any]:
    fields = msgspec.structs.asdict(record)
    return {name: msgspec.to_builtins(value) for name, value in fields.items() if name not in left_out}


def _size(letter: DeadLetter) -> int:
    try:
        return len(Pack.decode(letter.body))
    except DecodeError:
        return 1


def _dead(letter: DeadLetter) -> tuple[str, str]:
    """A dead letter by its stage and content; a quarantined reading without when it was received."""
    try:
        pack = Pack.decode(letter.body)
    except DecodeError:
        pack = None
    if pack is not None:
        return letter.stage, str([(r.device, r.ts, r.values) for r in pack.readings()])
    if letter.stage == "clean" and not letter.topic:
        reading = msgspec.json.decode(letter.body)
        return letter.stage, str({name: value for name, value in reading.items() if name != "received"})
    return letter.stage, base64.b64encode(letter.body).decode()
