"""results.json, and what docs/detection.md says of it: the table between its marks, and the picture."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("results.json")
PAGE, PICTURE = ROOT / "docs" / "detection.md", ROOT / "docs" / "pictures" / "detection.png"
BEGIN, END = "<!-- begin the figures -->", "<!-- end the figures -->"
COLUMNS = {
    "NAB alert": "NAB, own alerts", "NAB best": "NAB, best threshold", "NAB CV": "NAB, threshold of other folders",
    "free": "alerts on NAB's anomaly-free", "F1": "SKAB F1", "FAR": "at false alarms, %", "AUC-PR": "SKAB AUC-PR",
    "AUC-ROC": "SKAB AUC-ROC, cropped", "us": "µs a row",
}  # fmt: skip


def write(found: dict[str, Any]) -> None:
    """Keep what was found, and tell it."""
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    text = PAGE.read_text("utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n{as_markdown(found)}\n{END}{tail}", encoding="utf-8")
    draw(found)


def as_markdown(found: dict[str, Any]) -> str:
    """The tables, and the sentences that hold figures."""
    opened, weeks = found["noise"]
    sensors, hours = found["sensors"]
    cost = found["speed"]
    healthy = (
        f"On healthy noise of five kinds: {opened} openings in {weeks:.0f} device weeks. On eight healthy sensors, "
        f"heard every second: {sensors} in {hours} hours."
    )
    speed = (
        "With pack and state decoded and encoded, a reading of eight metrics in batches of 1,000 over 200 devices "
        f"costs {cost['batches']:g} µs; one reading alone, without them, {cost['alone']:g} µs."
    )
    measured = f"Measured on {found['at']}: {found['machine']}, load average {found['load']:g} at the start"
    measured += "." if found.get("peers at", found["at"]) == found["at"] else f"; the peers on {found['peers at']}."
    crossed = [_crossed(found["nested"])]
    return "\n\n".join((
        _table("detector", found["table"]), *crossed, healthy, speed,
        "What knows nothing, through the same scorers:", _table("verdicts", found["chance"], without="us"),
        "The detector on altered copies of all files, judged by the original labels:",
        _table("copies", found["altered"], without="us"), measured,
    ))  # fmt: skip


def _crossed(nested: dict[str, Any]) -> str:
    chosen = Counter(json.dumps(each, sort_keys=True) for each in nested["chosen"].values())
    often = "; ".join(
        f"{', '.join(f'{knob} {value:g}' for knob, value in json.loads(key).items())} for {count} of them"
        for key, count in chosen.most_common()
    )
    return (
        "NAB's own alerts with the configuration of each folder chosen on the other folders, among "
        f"{nested['candidates']} run through the product's code: **{nested['left out']:g}** on the folders left out, "
        f"where the shipped one reaches {nested['as shipped']:g} and the best for all {nested['best on all']:g}. "
        f"Chosen were {often}."
    )


def _table(first: str, rows: dict[str, dict[str, Any]], without: str = "") -> str:
    shown = {key: title for key, title in COLUMNS.items() if key != without}
    lines = [f"| {first} | {' | '.join(shown.values())} |", f"|---|{'---|' * len(shown)}"]
    for name, row in rows.items():
        lines.append(f"| {name} | {' | '.join('–' if row[key] is None else f'{row[key]:g}' for key in shown)} |")
    return "\n".join(lines)


def draw(found: dict[str, Any]) -> None:
    """The picture: what each detector reaches, and what a row costs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(found["table"])[::-1]
    rows = [found["table"][name] for name in names]
    figure = Figure(figsize=(11, 0.6 + 0.42 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots(1, 3, sharey=True)
    colours = ["#1f6f8b" if name == "Watchkeeper" else "#b9c4cc" for name in names]
    nab = [row["NAB best"] if row["NAB alert"] is None else row["NAB alert"] for row in rows]
    panels = (
        (nab, "NAB: own alerts; peers: the labels' best threshold"),
        ([row["AUC-PR"] for row in rows], "SKAB AUC-PR"),
        ([row["us"] for row in rows], "µs a row"),
    )
    for axis, (figures, title) in zip(axes, panels, strict=True):
        axis.barh(names, figures, color=colours)
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=8)
    axes[2].set_xscale("log")
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=110, metadata={"Software": None})
