"""Is a nearest-neighbour term worth its bytes, and the forest its place? Tried on the boards, outside of the product.

usage: terms.py [FOLDER]    FOLDER has `data` and `tools` of the boards (without: ../shared beside the project)

Says what the boards say of the detector as it is, with a nearest-neighbour term at two weights, and with a forest that
was trained on the other half of the files; writes it to terms.json, and into docs/detection.md. The term looks up the
last SPAN values of a series among the RING values before them: the least of the greatest differences, in the series'
usual residuals, ranked as all distances are. It would take 2 bytes for each of RING values, and a tail of its own.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import boards
import numpy as np
import render

from watchkeeper.detection import scorer
from watchkeeper.detection.baseline import BEYOND, FEW, GAUSS, PRIOR, TOLERANCE, YOUNG
from watchkeeper.detection.config import DEFAULT
from watchkeeper.detection.model import Model
from watchkeeper.detection.series import BINS, EDGES, F32, INDEX, RECORD
from watchkeeper.detection.state import DetectorState
from watchkeeper.detection.surprise import count_in, scale_of, surprise
from watchkeeper.detection.training import History, train, training_features

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("terms.json")
BEGIN, END = "<!-- begin the terms -->", "<!-- end the terms -->"
RING, SPAN, MOST = 64, 4, 1024
LEVELS = scale_of(float(EDGES[0]), PRIOR[:1], BEYOND[:1], 16384.0)
Measured = Callable[..., tuple[scorer.Observed, F32, Any]]


def with_neighbours(weight: float) -> Measured:
    """`scorer._measure` with the term: it remembers by series, in arrays of its own."""
    plain: Measured = scorer._measure  # noqa: SLF001 - what is tried here is not in the product
    ring = np.full((MOST, RING), np.nan)
    counts, total = np.zeros((1, BINS, MOST), np.float32), np.zeros(MOST, np.float32)

    def measure(state: DetectorState, each: Any, *rest: Any) -> tuple[scorer.Observed, F32, Any]:  # noqa: ANN401
        usual = GAUSS * state.series["fields"][each.slots, INDEX["spread"]] + 1e-9 * np.abs(each.x) + 1e-30
        seen, block, records = plain(state, each, *rest)
        at = each.slots
        held = ring[at] = np.concatenate([ring[at, 1:], each.x[:, None]], axis=1)
        windows = np.lib.stride_tricks.sliding_window_view(held, SPAN, axis=1)
        far = np.abs(windows[:, :-SPAN] - windows[:, -1:]).max(axis=2)
        nearest = np.nanmin(np.where(np.isfinite(far), far, np.inf), axis=1)
        z = np.minimum(np.where(np.isfinite(nearest), nearest / usual, 0.0), 1e9).astype(np.float32)[None]
        own, among = counts[:, :, at], total[at]
        nats = np.maximum(surprise(LEVELS, own, among, z)[0] - TOLERANCE, 0.0) * np.minimum(seen.n / YOUNG, 1.0)
        count_in(LEVELS, own, among, z, seen.n >= FEW)
        counts[:, :, at], total[at] = own, among
        nats = (np.float32(weight) * nats).astype(np.float32)
        return seen._replace(smoothed=seen.smoothed + nats, noted=seen.noted + nats), block, records

    return measure


def judged(series: dict[str, boards.Series], model: Model | None = None) -> dict[str, boards.Verdict]:
    """What the detector says to all series, as `boards.together` does, with a forest."""
    if model is None:
        return boards.together(series)
    with mock.patch.object(boards, "score", lambda *args, **kw: scorer.score(*args, **kw, model=model)):
        return boards.together(series)


def halves(series: dict[str, boards.Series]) -> dict[str, boards.Verdict]:
    """Every file by a forest that was trained on the other half of the files."""
    found: dict[str, boards.Verdict] = {}
    names = sorted(series)
    for side in (0, 1):
        past = [History(each.ts, each.values, each.metrics) for each in (series[name] for name in names[1 - side :: 2])]
        model = train(training_features(past, config=DEFAULT), seed=1)
        found |= judged({name: series[name] for name in names[side::2]}, model)
    return found


def main(shared: Path) -> None:
    """Try each, and keep what was found."""
    data, tools = shared / "data", shared / "tools"
    series = boards.read_all(data)
    tried: dict[str, Callable[[], dict[str, boards.Verdict]]] = {"as it is": lambda: judged(series)}
    for weight in (0.5, 1.0):
        tried[f"with neighbours, weight {weight:g}"] = partial(neighboured, series, weight)
    tried["with a forest of the other half"] = partial(halves, series)
    found: dict[str, Any] = {"record": RECORD.itemsize, "more": 2 * RING + 2 * BINS + 2, "rows": {}}
    for name, run in tried.items():
        verdicts = run()
        with tempfile.TemporaryDirectory() as folder:
            said = boards.scored(data, tools, verdicts, Path(folder))
        nab, skab = said["nab"], said["skab"]
        found["rows"][name] = row = {
            "NAB, own alerts": nab["alert"],
            "false alerts": nab["false alerts"],
            "on NAB's anomaly-free": boards.free_alerts(verdicts), "SKAB F1": skab["F1"],
            "at false alarms, %": skab["FAR %"],
            "SKAB AUC-PR": skab["AUC-PR"], "SKAB AUC-ROC, cropped": skab["cropped AUC-ROC"],
        }  # fmt: skip
        print(name, json.dumps(row), flush=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    head, _, rest = render.PAGE.read_text("utf-8").partition(BEGIN)
    render.PAGE.write_text(f"{head}{BEGIN}\n{as_markdown(found)}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def as_markdown(found: dict[str, Any]) -> str:
    """The table, and what the term would take."""
    rows = found["rows"]
    titles = list(next(iter(rows.values())))
    lines = [f"| detector | {' | '.join(titles)} |", f"|---|{'---|' * len(titles)}"]
    lines += [f"| {name} | {' | '.join(f'{row[title]:g}' for title in titles)} |" for name, row in rows.items()]
    bytes_ = (
        f"A series has {found['record']} bytes, of 256 at the most; the neighbours would take {found['more']} more."
    )
    return "\n".join([*lines, "", bytes_])


def neighboured(series: dict[str, boards.Series], weight: float) -> dict[str, boards.Verdict]:
    """What the detector says with the term."""
    with mock.patch.object(scorer, "_measure", with_neighbours(weight)):
        return judged(series)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared")
