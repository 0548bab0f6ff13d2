"""What a reprocessing is to do and how far it is: one small blob, written by compare-and-swap.

Everything of one reprocessing lies under `reprocess/ID/`: its plan, and for each shard two copies of the span as
series of their own, `before` (the readings as they were taken from the final series) and `after` (as the stages have
made them anew), and the episodes that were found. A copy is written by one attempt and belongs to it by its key, so
that a driver that was believed dead disturbs nobody; the plan says which attempt's copies count.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from watchkeeper.errors import ConfigError, Conflict, StateError
from watchkeeper.ids import text_id
from watchkeeper.outcome import ABSENT, ANYWAY, Any_
from watchkeeper.ports import Blob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper.ports import Blobs

ROOT = "reprocess/"
StageName: TypeAlias = Literal["clean", "rule_check", "ml_score"]
STAGE_NAMES: tuple[StageName, ...] = ("clean", "rule_check", "ml_score")
How: TypeAlias = Literal["before", "after"]
State: TypeAlias = Literal["replaying", "ready", "promoting", "promoted", "rolling back", "discarding"]


class Done(msgspec.Struct, frozen=True):
    """A shard that has been replayed: by which attempt, and how many readings and episodes there were."""

    attempt: int
    readings: int
    episodes: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A reprocessing of the readings in [start, end), epoch ms, from `stage` on.

    `model` is empty where none is in force. `lead_in` (ms) is how much before the span is replayed too, only so that
    the stages know the devices. `done` says which shards are replayed, `moved` in which of them the final series
    holds the shadow's readings.
    """

    id: str
    start: int
    end: int
    stage: StageName
    bundle: str
    model: str
    lead_in: int
    shards: int
    created: int
    state: State = "replaying"
    attempt: int = 0
    done: dict[int, Done] = {}
    moved: tuple[int, ...] = ()
    v: int = 1

    @property
    def readings(self) -> int:
        """Readings in the shards that are done."""
        return sum(done.readings for done in self.done.values())


def plan_id(start: int, end: int, stage: StageName, bundle: str, model: str, lead_in: int) -> str:
    """The same reprocessing has the same id, so that a command that is given again goes on where it was."""
    return f"r-{text_id(start, end, stage, bundle, model, lead_in)[:12]}"


@dataclasses.dataclass(slots=True)
class Held:
    """A plan as it is stored, and its version."""

    blobs: Blobs
    plan: Plan
    version: str | None

    def save(self, plan: Plan) -> None:
        """Replace the plan. Conflict: somebody else works on the same reprocessing."""
        try:
            self.version = self.blobs.put(plan_key(plan.id), msgspec.json.encode(plan), self.version)
        except Conflict as error:
            message = (
                f"{plan.id}: another command works on it; wait for its end, then look at `watchkeeper reprocess list`"
            )
            raise Conflict(message) from error
        self.plan = plan


def plan_key(name: str) -> str:
    """Where a plan is."""
    return f"{ROOT}{name}/plan"


def held(blobs: Blobs, name: str) -> Held | None:
    """A plan by its id, if there is one. StateError: it cannot be read."""
    key = plan_key(name)
    blob = blobs.get_many([key]).get(key)
    if blob is None:
        return None
    try:
        plan = msgspec.json.decode(blob.data, type=Plan)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        message = f"{key}: not a plan that this release can read: {error}"
        raise StateError(message) from error
    return Held(blobs, plan, blob.version)


def named(blobs: Blobs, name: str) -> Held:
    """The plan with this id, or the only one that begins so. ConfigError: there is none, or there are several."""
    fitting = [plan.id for plan in plans(blobs) if plan.id.startswith(name)]
    exact = [each for each in fitting if each == name] or fitting
    found = held(blobs, exact[0]) if len(exact) == 1 and name else None
    if found is None:
        what = "several reprocessings begin" if len(exact) > 1 else "no reprocessing begins"
        message = f"{what} with {name!r}; `watchkeeper reprocess list` shows them"
        raise ConfigError(message)
    return found


def plans(blobs: Blobs) -> list[Plan]:
    """All that there are, the oldest first."""
    names = [key.removeprefix(ROOT).removesuffix("/plan") for key in blobs.list(ROOT) if key.endswith("/plan")]
    found = [item.plan for name in names if (item := held(blobs, name))]
    return sorted(found, key=lambda plan: (plan.created, plan.id))


@dataclasses.dataclass(frozen=True, slots=True)
class Under:
    """The blobs below a prefix, as blobs of their own: a series in it is read and written as the final one is."""

    blobs: Blobs
    prefix: str

    def get_many(self, keys: Sequence[str]) -> dict[str, Blob]:
        """See `ports.Blobs`."""
        found = self.blobs.get_many([self.prefix + key for key in keys])
        return {key.removeprefix(self.prefix): blob for key, blob in found.items()}

    def versions(self, keys: Sequence[str]) -> dict[str, str]:
        """See `ports.Blobs`."""
        found = self.blobs.versions([self.prefix + key for key in keys])
        return {key.removeprefix(self.prefix): version for key, version in found.items()}

    def put(self, key: str, data: bytes, expect: str | Any_ | None = ANYWAY) -> str:
        """See `ports.Blobs`."""
        return self.blobs.put(self.prefix + key, data, expect)

    def delete(self, keys: Sequence[str]) -> None:
        """See `ports.Blobs`."""
        self.blobs.delete([self.prefix + key for key in keys])

    def list(self, prefix: str) -> list[str]:
        """See `ports.Blobs`."""
        return [key.removeprefix(self.prefix) for key in self.blobs.list(self.prefix + prefix)]


def attempt_prefix(name: str, shard: int, attempt: int) -> str:
    """What all that one attempt at a shard has written begins with."""
    return f"{ROOT}{name}/{shard:05d}/{attempt:04d}/"


def copy_of(blobs: Blobs, plan: Plan, shard: int, how: How) -> Under:
    """A copy of a shard that has been replayed."""
    return Under(blobs, f"{attempt_prefix(plan.id, shard, plan.done[shard].attempt)}{how}/")


def new_plan(blobs: Blobs, plan: Plan) -> Held:
    """Store a plan, or answer the one that is there with the same id."""
    try:
        return Held(blobs, plan, blobs.put(plan_key(plan.id), msgspec.json.encode(plan), ABSENT))
    except Conflict:
        found = held(blobs, plan.id)
        if found is None:
            raise
        return found
