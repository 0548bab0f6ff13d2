"""The public boards as this benchmark sees them: their series, verdicts on them, and the scorers' word on those."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watchkeeper.detection.config import DEFAULT, DetectorConfig
from watchkeeper.detection.scorer import score
from watchkeeper.detection.state import DetectorState
from watchkeeper_local.backtest import judge
from watchkeeper_local.backtest_file import Series, read_series

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    F64 = NDArray[np.float64]

FREE = ("nab/artificialNoAnomaly/", "skab/anomaly-free/")
PROBATION, MOST_PROBATION = 0.15, 750
"""NAB does not count the first 15 % of a file, 750 rows at the most."""


class Verdict(NamedTuple):
    """Of each row: score, whether an episode was open, and whether it opened."""

    score: F64
    anomalous: F64
    alert: F64


def read_all(data: Path) -> dict[str, Series]:
    """Every file of the boards by its path below `data`."""
    return {path.relative_to(data).as_posix(): read_series(path) for path in sorted(data.rglob("*.csv"))}


def own(series: Mapping[str, Series]) -> tuple[dict[str, Verdict], float]:
    """What the detector says, and seconds of it: the code of `watchkeeper backtest`, which is that of ml_score."""
    found, started = {}, time.process_time()
    for name, each in series.items():
        said = judge(each)
        found[name] = Verdict(said.score, said.anomalous.astype(float), said.alert.astype(float))
    return found, time.process_time() - started


def together(series: Mapping[str, Series], config: DetectorConfig = DEFAULT) -> dict[str, Verdict]:
    """What the detector says to all series given as devices of one batch: of each what it says to it alone."""
    names = list(series)
    metrics = sorted({metric for each in series.values() for metric in each.metrics})
    starts = np.cumsum([0, *(len(each.ts) for each in series.values())])
    device = np.repeat(np.arange(len(names)), np.diff(starts))
    values = np.full((device.size, len(metrics)), np.nan)
    for each, start in zip(series.values(), starts.tolist(), strict=False):
        columns = [metrics.index(metric) for metric in each.metrics]
        values[start : start + len(each.ts), columns] = each.values
    ts = np.concatenate([each.ts for each in series.values()])
    got = score(DetectorState.empty(), names, device, ts, metrics, values, config=config)
    alert = np.zeros(device.size)
    alert[[edge.row for edge in got.edges if edge.phase == "open"]] = 1.0
    parts = (np.split(column, starts[1:-1]) for column in (got.score, got.anomalous.astype(float), alert))
    return {name: Verdict(*columns) for name, *columns in zip(names, *parts, strict=True)}


def scored(data: Path, tools: Path, verdicts: Mapping[str, Verdict], folder: Path) -> dict[str, dict[str, float]]:
    """What the boards' scorers say: a figure by its name, for `nab` and `skab`."""
    for name, verdict in verdicts.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("timestamp", "score", "anomalous", "alert"))
            writer.writerows(zip(range(len(verdict.score)), *(part.tolist() for part in verdict), strict=True))
    nab = _scorer(tools / "score_nab.py", data / "nab", folder / "nab")
    skab = _scorer(tools / "score_skab.py", data / "skab", folder / "skab")
    standard = nab["standard"]
    figures = {"alert": standard["alert"], "best": standard["best"], **nab["windows"]}
    return {"nab": figures, "skab": skab}


def free_alerts(verdicts: Mapping[str, Verdict]) -> int:
    """Alerts on NAB's anomaly-free files, after probation."""
    return sum(
        int(verdict.alert[int(min(PROBATION * len(verdict.alert), MOST_PROBATION)) :].sum())
        for name, verdict in verdicts.items()
        if name.startswith(FREE[0])
    )


def cross_validated(data: Path, tools: Path, verdicts: Mapping[str, Verdict]) -> float:
    """NAB's standard score with the threshold on `score` of each folder chosen on the other folders' labels."""
    sys.path.insert(0, str(tools))
    import score_nab as nab

    windows = json.loads((data / "nab" / "windows.json").read_text())
    parts: dict[str, list[tuple[F64, NDArray[np.int64], F64]]] = {}
    count = 0
    for name, spans in sorted(windows.items()):
        times = [nab.dt.datetime.fromisoformat(row["timestamp"]) for row in nab.read(data / "nab" / name, ["value"])]
        edges = [[nab.dt.datetime.fromisoformat(edge) for edge in span] for span in spans]
        weight, window, counted = nab.weigh(times, edges)
        window[window >= 0] += count
        count += len(spans)
        part = weight[counted], window[counted], verdicts[f"nab/{name}"].score[counted]
        parts.setdefault(name.split("/")[0], []).append(part)
    raw, seen = 0.0, 0
    for folder, left_out in parts.items():
        others = [part for key, of in parts.items() if key != folder for part in of]
        thresholds, totals = nab.totals(*map(np.concatenate, zip(*others, strict=True)), "standard")
        mine = tuple(map(np.concatenate, zip(*left_out, strict=True)))
        marked = (mine[2] >= thresholds[totals.argmax()]).astype(float)
        marks, own_totals = nab.totals(mine[0], mine[1], marked, "standard")
        raw += float(own_totals[np.flatnonzero(marks >= 0.5)[-1]])
        seen += len(np.unique(mine[1][mine[1] >= 0]))
    return round(100 * (raw + seen) / (count + seen), 1)


def marked(scores: Mapping[str, F64], data: Path) -> dict[str, Verdict]:
    """A peer's scores as verdicts: no alerts, and anomalous above the threshold that SKAB's labels like best."""
    labels, found = [], []
    for name, found_score in scores.items():
        if name.startswith("skab/") and not name.startswith(FREE):
            with (data / name).open(newline="") as file:
                labels.append(np.array([float(row["anomaly"]) for row in csv.DictReader(file, delimiter=";")])[400:])
            found.append(found_score[400:])
    label, every = np.concatenate(labels), np.concatenate(found)
    order = np.argsort(-every, kind="stable")
    hits = np.cumsum(label[order])
    f1 = hits / ((np.arange(len(order)) + 1 + label.sum()) / 2)
    bar = every[order[int(f1.argmax())]]
    return {name: Verdict(of, (of >= bar).astype(float), np.zeros(len(of))) for name, of in scores.items()}


def _scorer(program: Path, data: Path, results: Path) -> dict[str, dict[str, float]]:
    command = [sys.executable, str(program), str(data), str(results)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - ours
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found
