"""The pipeline's table for people: as text, and as a picture in Mermaid."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from watchkeeper.topology import DEAD_LETTER, Every, Http, Topic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchkeeper.topology import Stage, Trigger

HEADER = ("stage", "triggered by", "emits", "writes", "uses", "state")


def as_text(pipeline: Sequence[Stage]) -> str:
    """One block of rows for each stage, columns aligned."""
    rows: list[tuple[str, ...]] = [HEADER]
    for stage in pipeline:
        columns: tuple[list[str], ...] = (
            [stage.name],
            [_trigger(trigger) for trigger in stage.on],
            [topic.name for topic in stage.emits],
            [table.name for table in stage.writes],
            [*stage.uses],
            [stage.state or ""],
        )
        rows += itertools.zip_longest(*columns, fillvalue="")
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def as_mermaid(pipeline: Sequence[Stage]) -> str:
    """A flow chart, from top to bottom: stages are boxes, topics are arrows, tables are cylinders.

    A topic that several stages emit to is a box of its own, so that their arrows meet there. Dotted arrows are rows
    that are written, and rows that a stage reads of another one; the API reads them all, which is not drawn.
    """
    return "\n".join(["flowchart TD", *(f"    {line}" for line in _lines(pipeline))])


def _lines(pipeline: Sequence[Stage]) -> Iterator[str]:
    for stage in pipeline:
        yield f'{stage.name}["{stage.name}"]'
        if any(isinstance(trigger, Http) for trigger in stage.on):
            yield f'clients(["clients and people"]) -->|HTTP| {stage.name}'
        for topic in stage.topics:
            if topic.producer:
                yield f'{_id(topic.producer)}(["{topic.producer}"]) -->|{topic.name}| {stage.name}'
        yield from _arrivals(stage, pipeline)
        if stage.writes:
            yield f'{stage.name} -.-> {_rows(stage)}[("{_names(table.name for table in stage.writes)}")]'
    for stage in pipeline:
        owners = [owner for owner in pipeline if set(owner.writes) & set(stage.reads) and owner is not stage]
        if not any(isinstance(trigger, Http) for trigger in stage.on):
            yield from (f"{_rows(owner)} -.-> {stage.name}" for owner in owners)
    yield f'any(["any stage"]) -->|{DEAD_LETTER.name}| {_id(DEAD_LETTER.consumer)}(["{DEAD_LETTER.consumer}"])'


def _arrivals(stage: Stage, pipeline: Sequence[Stage]) -> Iterator[str]:
    """The arrows that end at a stage: one from each stage before it, or one from each topic in which several meet."""
    direct: dict[str, list[str]] = {}
    for topic in stage.topics:
        makers = [maker.name for maker in pipeline if topic in maker.emits]
        if len(makers) == 1:
            direct.setdefault(makers[0], []).append(topic.name)
        elif makers:
            yield f'{" & ".join(makers)} --> {_id(topic.name)}{{{{"{topic.name}"}}}} --> {stage.name}'
    yield from (f'{maker} -->|"{_names(topics)}"| {stage.name}' for maker, topics in direct.items())


def _names(names: Iterator[str] | Sequence[str]) -> str:
    return "<br>".join(names)


def _rows(stage: Stage) -> str:
    return f"{stage.name}_rows"


def _id(name: str) -> str:
    """A name as Mermaid takes it: letters, digits and underscores, and never one of its own words."""
    return "at_" + "".join(c if c.isalnum() else "_" for c in name)


def _trigger(trigger: Trigger) -> str:
    if isinstance(trigger, Topic):
        return trigger.name
    if isinstance(trigger, Every):
        return f"every {trigger.seconds:g} s"
    return trigger.routes
