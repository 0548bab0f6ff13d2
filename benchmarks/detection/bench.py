"""How well readings are judged, on public boards and on healthy noise, beside other detectors: `make bench-detection`.

Prints what it finds, writes it to results.json, and from that the table and the picture of docs/detection.md. The
boards' data and scorers are looked for in ../shared beside the project; without them only the rest is measured, nothing
is written, and that is said.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import altered
import boards
import nested
import numpy as np
import render
import speed

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
SHARED = ROOT.parent / "shared"
PEERS = (
    "scikit-learn IsolationForest, windowed", "scikit-learn IsolationForest", "River HalfSpaceTrees", "PyOD ECOD",
    "rolling robust z", "stumpy stumpi",
)  # fmt: skip
OWN = "Watchkeeper"


def main() -> None:
    """Measure everything; CalledProcessError: a scorer or a peer has failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--peers", default="", help="the Python that has the peers' packages; without: their rows stay as they are"
    )
    asked = parser.parse_args()
    found: dict[str, Any] = {
        "at": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "load": round(os.getloadavg()[0], 1),
        "speed": {
            "batches": round(speed.batches(), 1),
            "alone": round(statistics.median(speed.alone() for _ in range(3))),
        },
        "noise": speed.noise_alerts(),
        "sensors": speed.sensors_alerts(),
    }
    print(json.dumps(found, indent=1), flush=True)
    data, tools = SHARED / "data", SHARED / "tools"
    if not data.is_dir() or not tools.is_dir():
        print(f"no boards in ../{SHARED.name}: nothing else is measured, docs/detection.md stays as it is")
        return
    with tempfile.TemporaryDirectory() as folder:
        found |= on_boards(data, tools, Path(folder), asked.peers)
    before = json.loads(render.RESULTS.read_text("utf-8"))
    found["peers at"] = found["at"] if asked.peers else before.get("peers at", before["at"])
    found["table"] = {name: before["table"][name] for name in PEERS if not asked.peers} | found["table"]
    found["table"] = {name: found["table"][name] for name in (OWN, *PEERS)}
    render.write(found)


def on_boards(data: Path, tools: Path, folder: Path, peers: str) -> dict[str, Any]:
    """The detector and its peers on the boards; the harness on what is chance; the detector on altered copies."""
    series = boards.read_all(data)
    rows = sum(len(each.ts) for each in series.values())
    verdicts, took = boards.own(series)
    table = {OWN: figures(data, tools, verdicts, folder / "own", took * 1e6 / rows)}
    print(OWN, json.dumps(table[OWN]), flush=True)
    crossed = nested.nested(data, tools, series)
    print("configuration of other folders", json.dumps(crossed), flush=True)
    chance = {}
    for name, said in by_chance(verdicts).items():
        chance[name] = figures(data, tools, said, folder / name, 0.0)
        print(name, json.dumps(chance[name]), flush=True)
    copies_said = {}
    for name, way in altered.WAYS.items():
        copies = {key: way(each) for key, each in series.items()}
        said = boards.together({key: copy.series for key, copy in copies.items()})
        copies_said[name] = figures(data, tools, altered.back(copies, said, series), folder / name, 0.0)
        print(name, json.dumps(copies_said[name]), flush=True)
    for name in PEERS if peers else ():
        np.savez(folder / "series.npz", **{key: filled(each.values) for key, each in series.items()})
        scores, cost = peer(peers, name, folder, rows)
        table[name] = figures(data, tools, boards.marked(scores, data), folder / "peer", cost)
        print(name, json.dumps(table[name]), flush=True)
    return {"table": table, "nested": crossed, "chance": chance, "altered": copies_said}


def figures(
    data: Path, tools: Path, verdicts: dict[str, boards.Verdict], folder: Path, cost: float
) -> dict[str, float | None]:
    """What is in a row of the table."""
    said = boards.scored(data, tools, verdicts, folder)
    alerts = any(verdict.alert.any() for verdict in verdicts.values())
    return {
        "NAB alert": said["nab"]["alert"] if alerts else None,
        "NAB best": said["nab"]["best"],
        "NAB CV": boards.cross_validated(data, tools, verdicts),
        "free": boards.free_alerts(verdicts) if alerts else None,
        "F1": said["skab"]["F1"], "FAR": said["skab"]["FAR %"], "AUC-PR": said["skab"]["AUC-PR"],
        "AUC-ROC": said["skab"]["cropped AUC-ROC"], "us": round(cost, 1),
    }  # fmt: skip


def by_chance(verdicts: dict[str, boards.Verdict]) -> dict[str, dict[str, boards.Verdict]]:
    """Verdicts that know nothing: random ones, none, and the detector's own moved to other rows of their files."""
    draw = np.random.default_rng(9)
    random, constant, moved = {}, {}, {}
    for name, said in verdicts.items():
        n = len(said.score)
        random[name] = boards.Verdict(
            draw.random(n),
            (draw.random(n) < said.anomalous.mean()).astype(float),
            (draw.random(n) < said.alert.mean()).astype(float),
        )
        constant[name] = boards.Verdict(np.zeros(n), np.zeros(n), np.zeros(n))
        by = int(draw.integers(0, max(n, 1)))
        moved[name] = boards.Verdict(*(np.roll(part, by) for part in said))
    return {"random verdicts": random, "constant verdicts": constant, "labels of other rows": moved}


def filled(values: np.ndarray) -> np.ndarray:
    """With the last known value where there is none: the peers take no gaps."""
    out = values.copy()
    for column in out.T:
        known = np.isfinite(column)
        at = np.maximum.accumulate(np.where(known, np.arange(len(column)), -1))
        column[:] = np.where(at >= 0, column[np.maximum(at, 0)], 0.0)
    return out


def peer(python: str, name: str, folder: Path, rows: int) -> tuple[dict[str, np.ndarray], float]:
    """A peer's scores, and its microseconds a row."""
    program, source, target = Path(__file__).with_name("peers.py"), folder / "series.npz", folder / "scores.npz"
    subprocess.run([python, str(program), name, str(source), str(target)], check=True)  # noqa: S603 - ours
    scores = dict(np.load(target))
    return scores, float(scores.pop("seconds")) * 1e6 / rows


if __name__ == "__main__":
    main()
