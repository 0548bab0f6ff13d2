"""One of everything that is stored or travels, for the golden files of each version.

`python -m tests.unit.core.golden_samples` writes the files of the present versions that are not there yet. Those that
are there are never written again: what is in them is what customers have stored, and later versions have to read it.

When the version of a format is bumped: fill what is new in the sample here, run the script, and say in EARLIER what the
sample of the version before is once it has been migrated.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from watchkeeper.alerting.state import NotifyState, Unanswered
from watchkeeper.bundles import InForce, Move, decode_in_force
from watchkeeper.checking.foresight import Foresight, Prediction
from watchkeeper.checking.state import Breach, CheckState, Samples
from watchkeeper.cleaning.state import CLEAN_CODEC, CleanState, Schema
from watchkeeper.dead_letters import TakenLetter
from watchkeeper.detection import model as model_format
from watchkeeper.detection.features import FEATURE_NAMES
from watchkeeper.detection.forest import Forest
from watchkeeper.detection.model import Model
from watchkeeper.detection.state import DetectorState
from watchkeeper.explaining.state import ExplainState, Open, Waiting
from watchkeeper.ids import text_id
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.model_in_force import Change, Pin
from watchkeeper.packs import Pack, Table
from watchkeeper.pipeline import STAGES
from watchkeeper.records import (
    SCHEMA_VERSION,
    Acknowledgement,
    Alert,
    Anomaly,
    Cutoff,
    DeadLetter,
    Delivery,
    Device,
    DeviceRecord,
    Episode,
    Importance,
    MetricQuality,
    MetricView,
    Origin,
    QualityRecord,
    Report,
    RequestNote,
    RequestSlot,
    Review,
    SchemaRecord,
    Severity,
    Source,
    Spend,
    Switches,
)
from watchkeeper.series import segment as segment_format
from watchkeeper.series.manifest import KnownDevice, StoreState
from watchkeeper.series.section import Section
from watchkeeper.series.segment import Segment, SegmentRef
from watchkeeper.states import ENVELOPE, ENVELOPE_VERSION, read_envelope
from watchkeeper.watching import WatchState
from watchkeeper.wire import read_record

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parent / "golden"
TS = 1_772_352_000_000
ORIGIN = Origin("rule_check", "data-processing-output", 3, 17, 2)
WHO = {
    "tenant": "acme",
    "site": "north",
    "device": "pump-1",
    "device_class": "pump",
    "detector": "rule:pump.bearing-hot",
}


def pack() -> Pack:
    """A pack with something in each column."""
    table = Table.build(
        ("flow", "vibration"),
        [0, 1],
        [TS, TS + 1000],
        [TS + 5, TS + 1005],
        [[1.5, None], [2.0, -3.25]],
        flags=[64, 1],
        salt=[0, 99],
        origin=[0, -1],
        tags=[-1, 0],
        score=[0.25, 0.5],
        rules={1: ["pump.flow-low"]},
    )
    devices = [Device("acme", "pump-1", "north"), Device("acme", "pump-2")]
    return Pack(7, devices, [table], [ORIGIN], [{"line": "a"}])


def records() -> dict[str, msgspec.Struct]:
    """One record of each kind, every field filled."""
    anomaly = Anomaly(
        id="an-1",
        episode="ep-1",
        phase="update",
        ts=TS,
        severity=Severity.CRITICAL,
        summary="Bearing temperature is high",
        received=TS + 5,
        metric="bearing_temperature",
        metrics={"bearing_temperature": MetricView(91.0, 58.0, 50.0, 66.0, 1.0)},
        score=0.75,
        confidence=0.5,
        since=TS - 60_000,
        count=3,
        runbook="pump-bearing-wear.md",
        threshold="above 85 for 30 s",
        backfill=True,
        bundle="b-1",
        model="m-1",
        origin=ORIGIN,
        **WHO,
    )
    report = Report(
        episode="ep-1",
        tenant="acme",
        device="pump-1",
        ts=TS,
        what="It is hot.",
        confidence=0.5,
        causes=("wear",),
        steps=("look",),
        sources=(Source("pump-bearing-wear.md", "Likely causes", "- wear"),),
        severity=Severity.CRITICAL,
        category="mechanical",
        written_by="writer-1",
        rejected="no",
    )
    episode = Episode(
        id="ep-1",
        opened_by="an-0",
        opened=TS,
        last=TS + 1,
        severity=Severity.CRITICAL,
        summary="hot",
        count=4,
        score=0.75,
        closed=TS + 2,
        closed_because="clear",
        metric="bearing_temperature",
        runbook="pump-bearing-wear.md",
        backfill=True,
        received=TS,
        seen=TS + 9,
        anomaly=anomaly,
        taken=ORIGIN,
        **WHO,
    )
    alert = Alert(
        id="ep-1",
        status="resolved",
        severity=Severity.CRITICAL,
        title="hot (pump-1)",
        opened=TS,
        ts=TS + 2,
        received=TS,
        sent=TS + 3,
        resolved=TS + 2,
        category="mechanical",
        count=4,
        metric="bearing_temperature",
        pages=False,
        acknowledged_by="ann",
        report=report,
        origin=ORIGIN,
        **WHO,
    )
    off = Switches(model_calls=False, refuse=(Importance.LOW,))
    return {
        "anomaly": anomaly,
        "report": report,
        "episode": episode,
        "alert": alert,
        "dead-letter": DeadLetter("d-1", "clean", "bad", b"\xff\x00", TS, "t", 1, 2, 3, "acme", "pump-1"),
        "taken-letter": TakenLetter("d-1", "redriven", TS),
        "device": DeviceRecord("acme", "pump-1", "north", "pump", ("flow",), TS, TS + 1),
        "quality": QualityRecord(
            "acme",
            "pump-1",
            TS,
            3_600_000,
            "iot-data-ingestion",
            3600.0,
            3500,
            3,
            {"flow": MetricQuality(9, 1, 2, 6)},
            -60_000,
        ),
        "schema": SchemaRecord("acme", "pump-1", "iot-data-ingestion", 3, ("flow",), TS, ("flow",), ("speed",)),
        "delivery": Delivery("ep-1/firing", "phone", alert, 2, TS + 9, "pending", "away"),
        "acknowledgement": Acknowledgement("ep-1", "acme", "ann", TS, "on it"),
        "review": Review("ep-1", "acme", "pump-1", TS, TS + 9, "confirmed", "ann", TS + 99, "worn"),
        "requests": RequestSlot("acme", "0007", (RequestNote(7, 9, TS, 100, 2, 1),)),
        "spend": Spend("2026-03", 1.5, 3.0, 10.0, "ok", {"clean": 1.5}, TS),
        "cutoff": Cutoff("cutoff", TS, "2026-03", off, Switches(), "al-1", ("al-0",)),
    }


def states() -> dict[str, object]:
    """A state of each stage that keeps one."""
    clean = CLEAN_CODEC.empty()
    held, _ = clean.rows(("flow",), clean.devices.find(["acme\0pump-1"]))
    held.newest[0], held.born[0], held.noted[0], held.cell[0] = TS, TS - 9, 7, TS - 99
    held.counts[0] = range(6)
    held.trail("flow")[0] = [TS - 9, 1.0, TS - 5, 1.25, TS, 1.5]
    held.watch("flow")[0] = [1.5, TS - 9, TS, 0, TS]
    who = clean.devices
    who.heard[0], who.least[0], who.minima[0], who.skew[0] = 7, -60_000, [-60_000, -60_001, -60_002], -60_001
    who.schemas[0] = Schema(3, 40, {"flow": (40, 1), "speed": (2, 1)}, ["flow"], ["speed"])
    clean.remember(np.array([1, 2**63], np.uint64), np.array([3, 4], np.uint64))
    clean.old = {"0123456789abcdef": (TS, {"flow": 1.5})}
    check = CheckState(ticked=TS, awake=TS - 9)
    slot = check.slot("acme", "pump-1", "north")
    check.received[slot], check.ts[slot], check.live[slot] = TS, TS - 5, True
    check.silent = {slot: ["device.silent"]}
    check.breaches = {"pump.flow-low": {slot: Breach(TS, TS + 1, TS + 2, TS + 3, 4)}}
    check.marks = {"pump.hunting": {0: [1, TS - 9, TS]}}
    check.samples = {"pump.warming": Samples(np.array([0, 0]), np.array([TS - 60_000, TS]), np.array([58.0, 61.5]))}
    foresight = check.foresight
    foresight.owners, foresight.made = [("flow", slot)], {"pump.flow-low": {slot: Prediction(3, TS, TS, TS)}}
    number = foresight.trends.add()
    for name in ("at", "last_at", "count", "sum", "last", "mean", "season"):
        column = foresight.trends.records[name]
        column[number] = np.arange(1, 1 + column[number].size)
    detector = DetectorState.empty()
    detector.device_rows(["acme\0pump-1"])
    for metric in ("flow", "vibration"):
        detector.add(0, metric, 64)
    for name in ("anchor", "fields", "tails", "profile", "counted"):  # numbers that no processor rounds in its own way
        column = detector.series[name]
        column[:] = np.arange(1, 1 + column.size).reshape(column.shape)
    detector.series["counted"] = 900
    for name in ("last_ts", "readings", "known", "joint_n", "joint_counted", "joint"):
        detector.devices[name][0] = 1200
    store = StoreState(9, [SegmentRef(0, 8, "0123456789abcdef", 64, TS, TS + 9)])
    store.know(KnownDevice("acme", "pump-1", "north", ("flow",), TS, TS + 9, TS + 10))
    delivery = records()["delivery"]
    return {
        "clean": clean,
        "rule_check": check,
        "ml_score": detector,
        "store": store,
        "rag_explain": ExplainState(1, {"ep-1": Open("acme", TS)}, [Waiting("acme", "ep-1", TS)]),
        "watch": WatchState(1, records()["alert"], told=True),
        "notify": NotifyState(1, {"phone/ep-1/firing": delivery}, {"ep-1": Unanswered("acme", TS, 1)}),
    }


def segment() -> bytes:
    """A segment of two readings, and the name of one before it."""
    pump = Section(
        ("flow", "vibration"),
        [("acme", "pump-1")],
        np.array([2]),
        np.array([TS, TS + 1000]),
        np.array([TS + 5, TS + 1005]),
        np.array([64, 1]),
        np.array([-1, 0]),
        np.array([-1, 0]),
        np.array([0.25, 0.5]),
        np.array([[1.5, np.nan], [2.0, -3.25]]),
    )
    before = [SegmentRef(0, 8, "0123456789abcdef", 64, TS - 9, TS - 1)]
    return segment_format.write([pump], [{"line": "a"}], [("pump.flow-low",)], level=1, sequence=9, before=before).data


def in_a_segment(data: bytes) -> object:
    """Everything that a segment holds, to be compared."""
    held = Segment(data)
    columns = [
        (part.metrics, part.devices, *(getattr(part, name).tolist() for name in _COLUMNS)) for part in held.sections()
    ]
    return str((columns, held.tagsets, held.rulesets, held.before))  # as text, in which NaN equals NaN


_COLUMNS = ("counts", "ts", "received", "flags", "tags", "rules", "score", "values")


def model() -> Model:
    """A model of one tree of three nodes."""
    parts = (np.array([3], "<i4"), np.array([0, -1, -1], "<i2"), np.array([0.5, 2, 2], "<f4"))
    forest = Forest(len(FEATURE_NAMES), 4, *(part.tobytes() for part in parts))
    return Model("m-1", TS, forest, FEATURE_NAMES, 4, (0.25, 0.5))


BUNDLE = {
    "devices/pump.yaml": "class: pump\nmetrics:\n  flow:\n    unit: m3/h\n",
    "rules/pump.yaml": "applies_to: pump\nrules: []\n",
}


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of thing that is stored or travels: its present version, a sample, and how it is written and read.

    `plain` makes what can be compared of what was read.
    """

    suffix: str
    version: int
    sample: Any
    write: Callable[[Any], bytes]
    read: Callable[[bytes], Any]
    plain: Callable[[Any], Any] = lambda value: value


def kinds() -> dict[str, Kind]:
    """All kinds, by name."""
    found: dict[str, Kind] = {}
    for name, state in states().items():
        codec = STAGES[name].codec
        found[f"state-{name}"] = Kind("bin", codec.version, state, codec.encode, codec.decode, codec.encode)
    for name, record in records().items():
        found[f"record-{name}"] = Kind("json", SCHEMA_VERSION, record, msgspec.json.encode, _record(type(record)))
    envelope = ({"clean:t/3": (17, 2)}, b"body")
    change = Change(7, TS, "promoted", "ada", "m-2", "m-1", "m-2", "in a hurry")
    in_force = InForce("b-2", "b-1", (Move("b-2", TS, "published"),), {"shipped": "b-2"}, "shipped")
    return found | {
        "record-pack": Kind("json", SCHEMA_VERSION, pack(), Pack.encode, Pack.decode, Pack.encode),
        "state-envelope": Kind("bin", ENVELOPE_VERSION, envelope, _envelope, lambda data: read_envelope(data, "here")),
        "segment": Kind("bin", segment_format.VERSION, segment(), bytes, bytes, in_a_segment),
        "model": Kind("bin", model_format.VERSION, model(), Model.encode, Model.decode),
        "bundle": Kind(
            "json", 1, BUNDLE, msgspec.json.encode, Bundle.decode, lambda held: getattr(held, "files", held)
        ),
        "bundle-in-force": Kind("json", 1, in_force, msgspec.json.encode, decode_in_force),
        "model-change": Kind("json", 1, change, msgspec.json.encode, _reads(Change)),
        "model-in-force": Kind("json", 1, Pin("m-2", "m-1", pinned=True), msgspec.json.encode, _reads(Pin)),
    }


def detector_of_version_1(_: object) -> DetectorState:
    """What is carried over of the first format's golden file is told in tests/unit/detection/test_earlier.py."""
    return DetectorState.decode(path_of("state-ml_score", 1).read_bytes())


def detector_of_version_2(_: object) -> DetectorState:
    """What is carried over of the second format's golden file is told in tests/unit/detection/test_earlier.py."""
    return DetectorState.decode(path_of("state-ml_score", 2).read_bytes())


def check_of_version_1(check: CheckState) -> CheckState:
    """Version 1 had neither marks nor samples."""
    return dataclasses.replace(check, marks={}, samples={})


def check_of_version_2(check: CheckState) -> CheckState:
    """Version 2 predicted nothing."""
    return dataclasses.replace(check, foresight=Foresight())


def clean_of_version_1(present: CleanState) -> CleanState:
    """The state of clean of version 1: it knew devices by hashes, their newest times and their last values."""
    state = CLEAN_CODEC.empty()
    state.ids, state.contents, state.written = present.ids, present.contents, present.written
    state.old = {text_id("acme", "pump-1", "flow"): (TS, {"flow": 1.5})}
    return state


EARLIER: dict[tuple[str, int], Callable[[Any], Any]] = {
    ("state-rule_check", 1): check_of_version_1,
    ("state-rule_check", 2): check_of_version_2,
    ("state-clean", 1): clean_of_version_1,
    ("state-ml_score", 1): detector_of_version_1,
    ("state-ml_score", 2): detector_of_version_2,
}
"""By kind and earlier version: what the present sample would be, had it been stored in that version and migrated."""


def expected(name: str, version: int) -> Any:
    """What reading the golden file of a version must give."""
    sample = kinds()[name].sample
    for later in reversed(range(version, kinds()[name].version)):
        sample = EARLIER[name, later](sample)
    return sample


def path_of(name: str, version: int) -> Path:
    """Where a golden file is."""
    return FOLDER / f"{name}-v{version}.{kinds()[name].suffix}"


def _reads(kind: type) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(kind).decode


def _record(kind: type[msgspec.Struct]) -> Callable[[bytes], Any]:
    return lambda data: read_record(data, kind)


def _envelope(content: tuple[dict[str, tuple[int, int]], bytes]) -> bytes:
    return msgspec.msgpack.encode([ENVELOPE.version, *content])


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each, kind in kinds().items():
        if not path_of(each, kind.version).exists():
            path_of(each, kind.version).write_bytes(kind.write(kind.sample))
