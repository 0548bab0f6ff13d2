"""A language model's explanation, guarded: what it is shown, and what of its answer may be believed.

It sees numbers, enumerations and names that the knowledge base itself holds, and quoted passages; never a string that a
device chose. Its answer must fit the schema and cite only passages it was given, or it is not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from watchkeeper.errors import ModelError
from watchkeeper.explaining.report import sources_of
from watchkeeper.records import Report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watchkeeper.knowledge.catalogue import Catalogue
    from watchkeeper.knowledge.runbooks import Passage
    from watchkeeper.records import Anomaly

SYSTEM = (
    "You explain one anomaly of a monitored device to the engineer on call. Use only the facts and the numbered "
    "passages. Answer in JSON: `what` (one or two sentences), `causes` (likeliest first), `steps` (in order), "
    "`sources` (the numbers of the passages you used). If the passages do not explain it, say so in `what` and cite "
    "the closest one."
)

Sentence = Annotated[str, msgspec.Meta(min_length=3, max_length=400)]


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a language model must answer with."""

    what: Annotated[str, msgspec.Meta(min_length=10, max_length=1200)]
    causes: Annotated[list[Sentence], msgspec.Meta(min_length=1, max_length=6)]
    steps: Annotated[list[Sentence], msgspec.Meta(min_length=1, max_length=10)]
    sources: Annotated[list[int], msgspec.Meta(min_length=1, max_length=6)]


SCHEMA: Mapping[str, object] = msgspec.json.schema(Answer)


def prompt_of(anomaly: Anomaly, catalogue: Catalogue, passages: Sequence[Passage]) -> str:
    """The facts of an anomaly and the passages, numbered from 1."""
    of_class = catalogue.device_class(anomaly.device_class)
    known = of_class.metrics if of_class else {}
    lines = [
        f"Device class: {anomaly.device_class}",
        f"Found by: {anomaly.detector}",
        f"Severity: {anomaly.severity}; confidence {anomaly.confidence:.2f}; score {anomaly.score:.2f}",
    ]
    for number, (name, view) in enumerate(sorted(anomaly.metrics.items(), key=lambda i: -i[1].contribution), start=1):
        spec = known.get(name)
        label = f"{name} ({spec.unit})" if spec else f"metric {number}"
        facts = {"value": view.value, "expected": view.expected, "low": view.low, "high": view.high}
        said = ", ".join(f"{what} {fact:.6g}" for what, fact in facts.items() if fact is not None)
        lines.append(f"{label}: {said}; share {view.contribution:.3g}")
    for number, passage in enumerate(passages, start=1):
        lines += ["", f"Passage {number}, {passage.file}, {passage.heading}:", passage.text]
    return "\n".join(lines)


def checked(text: str, passages: Sequence[Passage], report: Report, model: str) -> Report:
    """The report in the model's words. ModelError: the answer does not fit, or cites what it was not given."""
    try:
        answer = msgspec.json.decode(text, type=Answer)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
        message = f"the model's answer does not fit the schema: {error}"
        raise ModelError(message) from error
    wrong = sorted({number for number in answer.sources if not 1 <= number <= len(passages)})
    if wrong:
        message = f"the model cites passages it was not given: {wrong}"
        raise ModelError(message)
    cited = [passages[number - 1] for number in dict.fromkeys(answer.sources)]
    return msgspec.structs.replace(
        report,
        what=answer.what,
        causes=tuple(answer.causes),
        steps=tuple(answer.steps),
        sources=sources_of(cited),
        written_by=model,
    )
