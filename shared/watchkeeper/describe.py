"""The pipeline's table for people: as text, and as a picture in Mermaid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watchkeeper.topology import DEAD_LETTER, Every, Topic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper.topology import Stage, Trigger

HEADER = ("stage", "triggered by", "emits", "writes", "uses", "state")


def as_text(pipeline: Sequence[Stage]) -> str:
    """One block of rows for each stage, columns aligned."""
    rows: list[tuple[str, ...]] = [HEADER]
    for stage in pipeline:
        columns = (
            [stage.name],
            [_trigger(trigger) for trigger in stage.on],
            [topic.name for topic in stage.emits],
            [table.name for table in stage.writes],
            list(stage.uses),
            [stage.state or ""],
        )
        for line in range(max(map(len, columns))):
            rows.append(tuple(column[line] if line < len(column) else "" for column in columns))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def as_mermaid(pipeline: Sequence[Stage]) -> str:
    """A flow chart: stages are boxes, topics the arrows between them."""
    lines = ["flowchart LR"]
    for stage in pipeline:
        lines.append(f"    {stage.name}[{stage.name}]")
        for trigger in stage.on:
            if isinstance(trigger, Topic):
                if trigger.producer:
                    lines.append(f"    hub(({trigger.producer})) -->|{trigger.name}| {stage.name}")
                makers = [maker.name for maker in pipeline if trigger in maker.emits]
                lines += [f"    {maker} -->|{trigger.name}| {stage.name}" for maker in makers]
            elif not isinstance(trigger, Every):
                lines.append(f"    people((people and clients)) -->|HTTP| {stage.name}")
        lines += [f"    {stage.name} -.-> {table.name.replace('-', '_')}[({table.name})]" for table in stage.writes]
    lines.append(f"    poison((what no stage can take)) -->|{DEAD_LETTER.name}| operators((operators))")
    return "\n".join(lines)


def _trigger(trigger: Trigger) -> str:
    if isinstance(trigger, Topic):
        return trigger.name
    if isinstance(trigger, Every):
        return f"every {trigger.seconds:g} s"
    return trigger.routes
