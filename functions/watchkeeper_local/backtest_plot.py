"""A picture of a backtest: the values with the band that was expected, the score, and the alerts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from watchkeeper_local.backtest import Verdicts
    from watchkeeper_local.backtest_file import Series

MOST_PANELS = 8


def plot(series: Series, verdicts: Verdicts, target: Path) -> None:
    """Write a PNG: a panel for each metric (of the first eight) and one for the score."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = series.metrics[:MOST_PANELS]
    figure = Figure(figsize=(12, 2.0 + 1.6 * (len(shown) + 1)), layout="constrained")
    FigureCanvasAgg(figure)
    panels: Any = figure.subplots(len(shown) + 1, 1, sharex=True, squeeze=False)[:, 0]
    when = np.array([datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None) for ms in series.ts.tolist()])
    for at, (panel, name) in enumerate(zip(panels, shown, strict=False)):
        values = series.values[:, at]
        low, high = np.quantile(values[np.isfinite(values)], (0.0, 1.0)) if np.isfinite(values).any() else (0.0, 1.0)
        room = (high - low) / 2 or 1.0
        band = [np.clip(part[:, at], low - room, high + room) for part in (verdicts.views.low, verdicts.views.high)]
        panel.fill_between(when, *band, color="#c9dcf0", linewidth=0, label="expected")
        panel.plot(when, values, color="#1f3b57", linewidth=0.7)
        panel.set_ylabel(name, fontsize=8)
        _mark(panel, when, verdicts)
    panels[-1].plot(when, verdicts.score, color="#8a5a00", linewidth=0.7)
    panels[-1].set_ylim(0, 1)
    panels[-1].set_ylabel("score", fontsize=8)
    _mark(panels[-1], when, verdicts)
    figure.savefig(target, dpi=100)


def _mark(panel: Any, when: Any, verdicts: Verdicts) -> None:  # noqa: ANN401 - matplotlib's axes carry no types here
    for row in np.flatnonzero(verdicts.alert).tolist():
        panel.axvline(when[row], color="#c0392b", linewidth=0.9)
    panel.tick_params(labelsize=7)
