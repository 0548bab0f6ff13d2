"""The pictures of docs/performance.md, from benchmarks/results."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from results import load

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
STAGES = ("ingest", "clean", "rule_check", "ml_score", "store")


def cost() -> None:
    """What a reading costs, against devices and against days that are stored already."""
    rows = load("stages")["found"]
    figure, (devices, days) = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    _stacked(devices, [row for row in rows if not row["days"]], "devices")
    _stacked(days, [row for row in rows if row["days"]], "days")
    devices.set(xlabel="devices", ylabel="µs a reading")
    days.set(xlabel="days stored before, of 100 devices")
    days.legend(frameon=False, fontsize="small")
    figure.savefig(PICTURES / "cost.svg", metadata={"Date": None})


def lag() -> None:
    """Readings accepted and not yet stored, second by second."""
    (found,) = (each for each in load("http")["found"] if each["form"] == "json")
    figure, axes = plt.subplots(figsize=(9, 2.6), layout="constrained")
    axes.plot(range(len(found["in_flight"])), found["in_flight"])
    axes.set(xlabel="seconds", ylabel="readings under way", ylim=(0, None))
    figure.savefig(PICTURES / "lag.svg", metadata={"Date": None})


def _stacked(axes: Axes, rows: list[dict[str, dict[str, float]]], by: str) -> None:
    names = [f"{row[by]:,}" for row in rows]
    bottom = [0.0] * len(rows)
    for stage in (*STAGES, "the rest"):
        known = [sum(row["costs"][name] for name in STAGES) for row in rows]
        heights = [
            max(0.0, row["costs"]["all"] - whole) if stage == "the rest" else row["costs"][stage]
            for row, whole in zip(rows, known, strict=True)
        ]
        axes.bar(names, heights, bottom=bottom, label=stage, width=0.6)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]


def main() -> None:
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "watchkeeper"
    PICTURES.mkdir(exist_ok=True)
    cost()
    lag()


if __name__ == "__main__":
    main()
