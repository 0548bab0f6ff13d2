"""`watchkeeper backtest`: what the detector would have said about CSV files, reading by reading, in one causal pass."""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watchkeeper.detection.config import DEFAULT
from watchkeeper.detection.scorer import Views, score
from watchkeeper.detection.state import DetectorState
from watchkeeper.errors import ConfigError
from watchkeeper_local.backtest_file import Series, read_series

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper.detection.series import F64, Bools

BATCH = 512  # readings that are given to the detector together; the result does not depend on it
SHOWN = 5  # bad rows of a file printed in full
WEEK_MS = 7 * 86_400_000


class Verdicts(NamedTuple):
    """Of each row of a file: score 0..1, whether an episode was open, whether it opened; what was seen of each metric.

    `took` is in seconds. Rows that could not be read have score 0, and an open episode stays open over them.
    """

    score: F64
    anomalous: Bools
    alert: Bools
    views: Views
    took: float


def backtest(paths: Sequence[str], out: str, *, plots: bool) -> int:
    """Score all files, write the verdicts below `out` and print a line for each. Answers 1 if a row was bad."""
    found = [file for path in paths for file in _files(Path(path), Path(out))]
    if not found:
        message = f"no CSV files in {', '.join(paths)}"
        raise ConfigError(message)
    targets = [target for _, target in found]
    if len(set(targets)) != len(targets):
        message = "two files would be written to the same place; give them in separate runs"
        raise ConfigError(message)
    bad = rows = alerts = 0
    took = weeks = 0.0
    print(f"{'rows':>9} {'bad':>5} {'alerts':>7} {'a week':>8} {'µs/row':>7} {'drift':>6}  file")
    for source, target in found:
        series = read_series(source)
        verdicts = judge(series)
        write(series, verdicts, target)
        if plots:
            from watchkeeper_local.backtest_plot import plot

            plot(series, verdicts, target.with_suffix(".png"))
        span = _weeks(series)
        count = int(verdicts.alert.sum())
        moved = drift(series)
        each_week = f"{count / span:8.2f}" if span else f"{'-':>8}"
        cost = verdicts.took * 1e6 / max(len(series.ts), 1)
        print(f"{len(series.ts):>9} {len(series.bad):>5} {count:>7} {each_week} {cost:>7.1f} {moved:>6.2f}  {source}")
        for line, reason in series.bad[:SHOWN]:
            print(f"{source}:{line}: {reason}", file=sys.stderr)
        bad, rows, alerts = bad + len(series.bad), rows + len(series.ts), alerts + count
        took, weeks = took + verdicts.took, weeks + span
    print(f"{rows} rows of {len(found)} files, {bad} of them bad; {took * 1e6 / max(rows, 1):.1f} µs a row")
    if weeks:
        wanted = DEFAULT.target_a_week
        said = "within" if alerts / weeks <= wanted else "above"
        print(
            f"{alerts} alerts in {weeks:.2f} device weeks, {alerts / weeks:.2f} a week, if all of them were false: "
            f"{said} the target of {wanted:g}"
        )
    return 1 if bad else 0


def judge(series: Series) -> Verdicts:
    """What the detector says to each row: the code that ml_score runs, with an empty state and its defaults."""
    n, m = series.values.shape
    scores, anomalous, alert = np.zeros(n), np.zeros(n, bool), np.zeros(n, bool)
    parts = []
    state = DetectorState.empty()
    started = time.perf_counter()
    for start in range(0, n, BATCH):
        part = slice(start, min(start + BATCH, n))
        ts = series.ts[part]
        got = score(
            state, ("device",), np.zeros(ts.size, np.int64), ts, series.metrics, series.values[part], views=True
        )
        scores[part], anomalous[part] = got.score, got.anomalous
        for edge in got.edges:
            alert[start + edge.row] |= edge.phase == "open"
        parts.append(got.views)
    took = time.perf_counter() - started
    columns = [
        np.concatenate([getattr(part, name) for part in parts if part is not None] or [np.zeros((0, m))])
        for name in ("expected", "low", "high", "contribution")
    ]
    return Verdicts(scores, anomalous, alert, Views(*columns), took)


def write(series: Series, verdicts: Verdicts, target: Path) -> None:
    """One row for each row of the file, in its order; the timestamp as it stood there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shares = np.nan_to_num(verdicts.views.contribution).round(4).tolist()
    columns = (
        verdicts.score.round(6).tolist(),
        verdicts.anomalous.astype(int).tolist(),
        verdicts.alert.astype(int).tolist(),
    )
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["timestamp", "score", "anomalous", "alert", *(f"contribution_{name}" for name in series.metrics)]
        )
        for stamp, *verdict, share in zip(series.stamps, *columns, shares, strict=True):
            writer.writerow([stamp, *verdict, *share])


def drift(series: Series) -> float:
    """How far the last third of the worst metric is from the first: the population stability index over ten bins.

    Below 0.1 nothing has moved to speak of, above 0.25 much has (Siddiqi, Credit Risk Scorecards, 2006).
    """
    worst = 0.0
    for column in series.values.T:
        known = column[np.isfinite(column)]
        third = known.size // 3
        if third < 50:
            continue
        first, last = known[:third], known[-third:]
        bounds = np.unique(np.quantile(first, np.linspace(0.1, 0.9, 9)))
        shares = [
            (np.bincount(np.searchsorted(bounds, part), minlength=bounds.size + 1) + 0.5)
            / (third + 0.5 * (bounds.size + 1))
            for part in (first, last)
        ]
        worst = max(worst, float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum()))
    return worst


def _files(path: Path, out: Path) -> list[tuple[Path, Path]]:
    """The CSV files at a path and where their verdicts go: the same relative path below `out`."""
    if path.is_file():
        return [(path, out / path.name)]
    if not path.is_dir():
        message = f"{path}: no such file or folder"
        raise ConfigError(message)
    inside = out.resolve()
    return [
        (file, out / file.relative_to(path))
        for file in sorted(path.rglob("*.csv"))
        if inside not in file.resolve().parents
    ]


def _weeks(series: Series) -> float:
    told = series.ts[series.ts > 0]
    return float(told.max() - told.min()) / WEEK_MS if told.size else 0.0
