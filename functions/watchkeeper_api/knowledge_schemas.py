"""What goes in and out of the API about rules and bundles, as JSON. Durations are milliseconds."""

from typing import Annotated

import msgspec

from watchkeeper.records import Severity
from watchkeeper_api.schemas import KnowledgeProblem, ReadingIn, RejectedReading

Version = Annotated[str, msgspec.Meta(max_length=100)]


class RuleView(msgspec.Struct, frozen=True):
    """A rule. A value fires it below `fire_low` or above `fire_high`; null: no such limit."""

    id: str
    applies_to: str
    kind: str
    metric: str | None
    severity: Severity
    summary: str
    runbook: str
    fire_low: float | None
    fire_high: float | None
    clear_low: float | None
    clear_high: float | None
    for_ms: int
    no_data_ms: int


class RuleList(msgspec.Struct, frozen=True):
    """The rules of the bundle in force, in the order of their files."""

    bundle: str
    rules: list[RuleView]


class KnowledgeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Files of a knowledge base: text by path (`rules/pump.yaml`).

    `base` names the bundle that they are laid over, its version or `current`, where a file that is null is taken out;
    empty: these are all files there are.
    """

    files: dict[str, str | None]
    base: Version = ""


class Validation(msgspec.Struct, frozen=True):
    """Everything that is wrong with the files; nothing: `version` is that of their bundle. None is put in force."""

    valid: bool
    version: str
    problems: list[KnowledgeProblem]


class TryIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rules to try (without `files` and `base`: those in force), and on what: `readings`, or what is stored.

    Of what is stored: the `last` so long (`7d`, `12h`), of the caller's tenant. `device_class` takes every device for
    one of that class.
    """

    files: dict[str, str | None] = {}
    base: Version = ""
    readings: list[ReadingIn] = []
    last: Annotated[str, msgspec.Meta(max_length=20)] = ""
    device_class: Annotated[str, msgspec.Meta(max_length=200)] = ""


class FiredView(msgspec.Struct, frozen=True):
    """One episode of a rule. `cleared` null: it was still open at the end of the readings.

    `readings` belong to it; `worst` is the one of their values that is furthest beyond the rule's limits.
    """

    rule: str
    device: str
    opened: int
    cleared: int | None
    readings: int
    worst: float | None


class TrialAnswer(msgspec.Struct, frozen=True):
    """What would have fired, by time. `classes` has how many devices of each class the readings came from.

    `complete`: all readings were looked at; otherwise those up to `until`. `fired_count` counts all, `fired` has the
    first thousand. `rejected`: readings that could not be taken, the first hundred.
    """

    version: str
    fired: list[FiredView]
    fired_count: int
    readings: int
    classes: dict[str, int]
    rejected: list[RejectedReading]
    until: int | None
    complete: bool


class MoveView(msgspec.Struct, frozen=True):
    """A bundle was put in force; `at` 0: when is not known."""

    version: str
    at: int
    how: str


class BundleList(msgspec.Struct, frozen=True):
    """What is in force, what was before it, how that came about (the latest first), and all that are stored."""

    version: str
    previous: str
    moves: list[MoveView]
    stored: list[str]


class BundleView(msgspec.Struct, frozen=True):
    """A bundle: its files by path, and its rules."""

    version: str
    in_force: bool
    files: dict[str, str]
    rules: list[RuleView]


class BundleDiff(msgspec.Struct, frozen=True):
    """What differs between two bundles, one line each: `+` came, `-` went, `~` changed."""

    before: str
    after: str
    differences: list[str]


class RollbackIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which bundle to put in force; empty: the one before the present one."""

    to: Version = ""


class BundleMoved(msgspec.Struct, frozen=True):
    """The bundle in force, the one before it, and what differs. `changed` is false where it was in force already."""

    version: str
    previous: str
    changed: bool
    differences: list[str]


KNOWLEDGE_MODELS: tuple[type[msgspec.Struct], ...] = (
    BundleDiff,
    BundleList,
    BundleMoved,
    BundleView,
    KnowledgeIn,
    RollbackIn,
    RuleList,
    TrialAnswer,
    TryIn,
    Validation,
)
"""What operations refer to in the OpenAPI document; what these refer to comes with them."""
