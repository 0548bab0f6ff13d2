"""One of everything that is stored or travels, for the golden files of version 1.

`python -m tests.unit.core.golden_samples` writes files that are not there yet. Those that are there are never written
again: what is in them is what customers have stored, and the next version has to read it.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from watchkeeper.alerting.state import NotifyState, Unanswered
from watchkeeper.checking.state import Breach, CheckState, Heard
from watchkeeper.cleaning.state import CLEAN_CODEC
from watchkeeper.dead_letters import TakenLetter
from watchkeeper.detection.state import DetectorState
from watchkeeper.explaining.state import ExplainState, Open, Waiting
from watchkeeper.packs import Pack, Table
from watchkeeper.pipeline import STAGES
from watchkeeper.records import (
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
    MetricView,
    Origin,
    Report,
    Review,
    Severity,
    Source,
    Spend,
    Switches,
)
from watchkeeper.series.manifest import KnownDevice, StoreState
from watchkeeper.series.segment import SegmentRef

VERSIONS = {"ml_score": 2}
"""Of states that are no longer of version 1; how an older one is read is tested where it is converted."""
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
        "delivery": Delivery("ep-1/firing", "phone", alert, 2, TS + 9, "pending", "away"),
        "acknowledgement": Acknowledgement("ep-1", "acme", "ann", TS, "on it"),
        "review": Review("ep-1", "acme", "pump-1", TS, TS + 9, "confirmed", "ann", TS + 99, "worn"),
        "spend": Spend("2026-03", 1.5, 3.0, 10.0, "ok", {"clean": 1.5}, TS),
        "cutoff": Cutoff("cutoff", TS, "2026-03", off, Switches(), "al-1", ("al-0",)),
    }


def states() -> dict[str, object]:
    """A state of each stage that keeps one."""
    clean = CLEAN_CODEC.empty()
    clean.newest[clean.slot("acme", "pump-1", ("flow",))] = TS
    clean.last_values = {"flow": {0: 1.5}}
    clean.remember(np.array([1, 2**63], np.uint64), np.array([3, 4], np.uint64))
    heard = {"acme\0pump-1": Heard("acme", "pump-1", "north", TS, TS - 5, live=True, silent=["device.silent"])}
    breach = {"acme\0pump-1": {"pump.flow-low": Breach(TS, TS + 1, TS + 2, TS + 3, 4)}}
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
        "rule_check": CheckState(1, heard, breach, TS, TS - 9),
        "ml_score": detector,
        "store": store,
        "rag_explain": ExplainState(1, {"ep-1": Open("acme", TS)}, [Waiting("acme", "ep-1", TS)]),
        "notify": NotifyState(1, {"phone/ep-1/firing": delivery}, {"ep-1": Unanswered("acme", TS, 1)}),
    }


def files() -> dict[str, bytes]:
    """All golden files."""
    found = {
        f"state-{name}-v{VERSIONS.get(name, 1)}.bin": STAGES[name].codec.encode(state)
        for name, state in states().items()
    }
    found |= {f"record-{name}-v1.json": msgspec.json.encode(record) for name, record in records().items()}
    found["record-pack-v1.json"] = pack().encode()
    found["state-envelope-v1.bin"] = msgspec.msgpack.encode([1, {"clean:t/3": (17, 2)}, b"body"])
    return found


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, data in files().items():
        if not (FOLDER / name).exists():
            (FOLDER / name).write_bytes(data)
