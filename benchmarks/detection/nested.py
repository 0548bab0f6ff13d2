"""Configuration chosen on other folders: NAB's own alerts of each folder under what the others like best.

The candidates are the detector's few global knobs, run through its real code. What is not nested: the weights
and rates of the distances, which were chosen on all visible files before (docs/detection.md).
"""

from __future__ import annotations

import itertools
import json
import sys
from typing import TYPE_CHECKING, Any

import boards
import numpy as np

from watchkeeper.detection.config import DEFAULT, DetectorConfig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from watchkeeper_local.backtest_file import Series

KNOBS: dict[str, tuple[float, ...]] = {"target_a_week": (0.2, 0.4, 0.8), "raised_by": (0.2, 0.39, 0.8)}


def candidates() -> list[DetectorConfig]:
    """Every combination of the knobs, the rest as shipped."""
    every = itertools.product(*KNOBS.values())
    return [DetectorConfig(**dict(zip(KNOBS, values, strict=True))) for values in every]


def nested(data: Path, tools: Path, series: Mapping[str, Series]) -> dict[str, Any]:
    """NAB's standard score of own alerts on the folders left out; as shipped; and what was chosen for each folder."""
    sys.path.insert(0, str(tools))
    import score_nab as nab

    windows = json.loads((data / "nab" / "windows.json").read_text())
    own = {name: series[f"nab/{name}"] for name in sorted(windows)}
    tried = candidates()
    folders = sorted({name.split("/")[0] for name in own})
    raw = np.zeros((len(tried), len(folders)))
    count, seen = 0, np.zeros(len(folders))
    judged = [boards.together(own, config) for config in tried]
    for place, folder in enumerate(folders):
        parts: list[tuple[Any, Any, Any, str]] = []
        for name in (name for name in own if name.split("/")[0] == folder):
            times = [
                nab.dt.datetime.fromisoformat(row["timestamp"]) for row in nab.read(data / "nab" / name, ["value"])
            ]
            edges = [[nab.dt.datetime.fromisoformat(edge) for edge in span] for span in windows[name]]
            weight, window, counted = nab.weigh(times, edges)
            window[window >= 0] += count
            count += len(edges)
            parts.append((weight[counted], window[counted], counted, name))
        weights, inside = (np.concatenate([part[at] for part in parts]) for at in (0, 1))
        seen[place] = len(np.unique(inside[inside >= 0]))
        for number, said in enumerate(judged):
            marked = np.concatenate([said[name].alert[counted] for *_, counted, name in parts])
            marks, totals = nab.totals(weights, inside, marked, "standard")
            raw[number, place] = totals[np.flatnonzero(marks >= 0.5)[-1]] if marked.any() else totals[0]
    best = [int((raw.sum(axis=1) - raw[:, place]).argmax()) for place in range(len(folders))]
    shipped = tried.index(DEFAULT)

    def scaled(total: float) -> float:
        return round(100 * (total + seen.sum()) / (count + seen.sum()), 1)

    left_out = float(sum(raw[number, place] for place, number in enumerate(best)))
    chosen = {
        folder: {knob: getattr(tried[number], knob) for knob in KNOBS}
        for folder, number in zip(folders, best, strict=True)
    }
    return {
        "left out": scaled(left_out), "as shipped": scaled(float(raw[shipped].sum())),
        "best on all": scaled(float(raw.sum(axis=1).max())), "candidates": len(tried), "chosen": chosen,
    }  # fmt: skip
