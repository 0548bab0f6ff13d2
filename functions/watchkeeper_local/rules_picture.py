"""Pictures of what rules would have found: a metric's values, the rules' limits, and the episodes as shaded bands."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib import dates
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from watchkeeper.knowledge.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from watchkeeper.knowledge.bundle import Bundle
    from watchkeeper.knowledge.rules import Rule
    from watchkeeper.trial import Fired, Trial
    from watchkeeper_local.rules_curves import Curve, Source

MOST = 20  # pictures at once
LONGEST_NAMES = 4  # rules named in a title
INK, LINE = "#1f2933", "#2b6cb0"
COLOURS = ("#d64545", "#de911d", "#7b5ea7", "#2f8f6b", "#8a5a44", "#c2549d")
GAP = 20  # times the usual step between two readings: the line is broken there


class Pictures(NamedTuple):
    """The files that were written, and how many metrics with episodes are in none."""

    files: list[Path]
    left_out: int


def draw(trial: Trial, bundle: Bundle, source: Source, file: Path) -> Pictures:
    """A picture for each metric of a device for which a rule fired, those with most episodes first, at most MOST.

    One is `file` itself; of several each has its device and metric in its name.
    """
    concerns = _concerns(trial, bundle, source)
    ranked = sorted(concerns, key=lambda each: -len(concerns[each]))
    files = []
    for device, metric in ranked[:MOST]:
        name = file.stem if len(ranked) == 1 else f"{file.stem}-{_safe(device)}-{_safe(metric)}"
        path = file.with_name(f"{name}{file.suffix or '.png'}")
        curve = source.curve(device, metric)
        _picture(device, metric, curve, concerns[device, metric], bundle).savefig(path, format="png", dpi=110)
        files.append(path)
    return Pictures(files, len(ranked) - len(files))


def _concerns(trial: Trial, bundle: Bundle, source: Source) -> dict[tuple[str, str], list[Fired]]:
    """What fired, by the device and metric to draw it on; a rule without a metric is drawn on its device's first."""
    concerns: defaultdict[tuple[str, str], list[Fired]] = defaultdict(list)
    for fired in trial.fired:
        rule = bundle.rules.by_id(fired.rule)
        metric = (rule.metric if rule else None) or next(iter(source.metrics(fired.device)), None)
        if metric:
            concerns[fired.device, metric].append(fired)
    return concerns


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name)


def _picture(device: str, metric: str, curve: Curve, found: Sequence[Fired], bundle: Bundle) -> Figure:
    ids = list(dict.fromkeys(fired.rule for fired in found))
    rules = [rule for rule in map(bundle.rules.by_id, ids) if rule]
    colours = {rule.id: COLOURS[place % len(COLOURS)] for place, rule in enumerate(rules)}
    with mpl.rc_context({"font.size": 9, "text.color": INK, "axes.edgecolor": "#9aa5b1", "axes.labelcolor": INK}):
        figure = Figure(figsize=(12, 4.6), layout="constrained")
        axes = figure.add_subplot()
        end = int(curve.ts[-1]) if len(curve.ts) else max(each.cleared or each.opened for each in found)
        _values(axes, curve)
        least = _visible(end - int(curve.ts[0]) if len(curve.ts) else 1)
        for each in found:
            band = _moment(each.opened), _moment(max(each.cleared or end, each.opened + least))
            axes.axvspan(
                *map(dates.date2num, band), color=colours.get(each.rule, INK), alpha=0.22, linewidth=0, zorder=1
            )
        for rule in rules:
            _limits(axes, rule, colours[rule.id])
        many = f"{len(found)} episode{'s' if len(found) != 1 else ''}"
        shown = ", ".join(ids[:LONGEST_NAMES]) + (" …" if len(ids) > LONGEST_NAMES else "")
        axes.set_title(f"{metric} of {device}", loc="left", fontsize=13, fontweight="bold")
        axes.set_title(f"{many}: {shown}", loc="right", fontsize=9)
        _frame(axes, metric)
        entries = _legend(curve, rules, colours)
        figure.legend(handles=entries, loc="outside lower left", ncols=min(len(entries), 4), frameon=False)
    return figure


def _values(axes: Axes, curve: Curve) -> None:
    """The line, broken where nothing was measured for long, and what its points stand for around it."""
    if not len(curve.ts):
        return
    steps = np.diff(curve.ts)
    breaks = np.flatnonzero(steps > GAP * max(float(np.median(steps)), 1.0)) + 1 if len(steps) else steps
    ts, value, low, high = (np.insert(column.astype(np.float64), breaks, np.nan) for column in curve)
    ts[np.isnan(ts)] = curve.ts[breaks] if len(breaks) else 0
    when = ts.astype("int64").astype("datetime64[ms]")
    if (curve.low < curve.high).any():
        axes.fill_between(when, low, high, color=LINE, alpha=0.25, linewidth=0, zorder=2)
    mark = "." if len(curve.ts) <= 200 else ""
    axes.plot(when, value, color=LINE, linewidth=1.1, marker=mark, markersize=4, zorder=3)


def _limits(axes: Axes, rule: Rule, colour: str) -> None:
    for fire, clear in ((rule.fire_high, rule.clear_high), (rule.fire_low, rule.clear_low)):
        if np.isfinite(fire):
            axes.axhline(fire, color=colour, linewidth=1.3, zorder=4)
            if np.isfinite(clear) and clear != fire:
                axes.axhline(clear, color=colour, linewidth=1.0, linestyle=(0, (4, 3)), zorder=4)


def _frame(axes: Axes, metric: str) -> None:
    axes.set_ylabel(metric)
    axes.margins(x=0.01, y=0.12)
    axes.grid(axis="y", color="#e4e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    locator = dates.AutoDateLocator(tz=UTC, minticks=6, maxticks=12)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))  # type: ignore[no-untyped-call]
    axes.set_xlabel("UTC", loc="left")


def _legend(curve: Curve, rules: Sequence[Rule], colours: dict[str, str]) -> list[Artist]:
    several = bool((curve.low < curve.high).any())
    what = "mean, from least to greatest" if several else "measured"
    entries: list[Artist] = [Line2D([], [], color=LINE, linewidth=1.4, label=what)]
    entries += [Patch(color=colours[rule.id], alpha=0.5, label=f"{rule.id}: {_said(rule)}") for rule in rules]
    if any(_clears(rule) for rule in rules):
        entries.append(Line2D([], [], color=INK, linewidth=1, linestyle=(0, (4, 3)), label="clears again"))
    return entries


def _said(rule: Rule) -> str:
    if rule.no_data_ms:
        return f"no data for {format_duration(rule.no_data_ms)}"
    said = [f"below {rule.fire_low:g}"] if np.isfinite(rule.fire_low) else []
    said += [f"above {rule.fire_high:g}"] if np.isfinite(rule.fire_high) else []
    lasting = f" for {format_duration(rule.for_ms)}" if rule.for_ms else ""
    return f"{' or '.join(said) or rule.kind}{lasting}"


def _clears(rule: Rule) -> bool:
    pairs = (rule.fire_high, rule.clear_high), (rule.fire_low, rule.clear_low)
    return any(np.isfinite(fire) and np.isfinite(clear) and clear != fire for fire, clear in pairs)


def _visible(span: int) -> int:
    """How long, in ms, a band must be to be seen in a picture of so many."""
    return max(span // 500, 1)


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
