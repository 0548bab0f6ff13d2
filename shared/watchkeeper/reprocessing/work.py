"""Reprocessing, step by step: replay, promote, roll back, discard. Each can be killed anywhere and run again.

| step | its effects, in order | a crash between two of them |
|---|---|---|
| replay | a shard's copies and episodes, then the plan says that it is done | the shard is replayed again |
| promote, roll back | new segments, then the manifest (by compare-and-swap), then the plan | the shard is found done |
| discard | the plan says so, then everything but the plan is deleted, then the plan | the rest is deleted |
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec

from watchkeeper.bundles import stored_bundle
from watchkeeper.detection.model import Model
from watchkeeper.errors import ConfigError, ModelError, StateError
from watchkeeper.model_in_force import model_key
from watchkeeper.records import Episode
from watchkeeper.reprocessing.copies import Copy
from watchkeeper.reprocessing.plan import ROOT, Done, Held, Plan, Under, attempt_prefix, copy_of, plan_key
from watchkeeper.reprocessing.replay import Replay
from watchkeeper.reprocessing.stretches import stretches
from watchkeeper.reprocessing.swap import Swap
from watchkeeper.series.span import stored_times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from watchkeeper.knowledge.bundle import Bundle
    from watchkeeper.packs import Pack
    from watchkeeper.ports import Blobs
    from watchkeeper.reprocessing.plan import How, State

HOUR_MS = 3_600_000


def _silent(_: Plan) -> None:
    """Nobody wants to know how far it is."""


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """What can be done with a reprocessing. `progress` is told the plan after each shard."""

    blobs: Blobs
    held: Held
    progress: Callable[[Plan], None] = _silent

    @property
    def plan(self) -> Plan:
        """How far it is."""
        return self.held.plan

    def replay(self) -> None:
        """Replay what is not yet replayed. Nothing that runs is touched: all that is written is the shadow's own.

        KnowledgeError, ModelError: the bundle or model is not there. StateError: a reading does not come through.
        Conflict: another command works on the same.
        """
        if self.plan.state != "replaying":
            return
        bundle, model = stored_bundle(self.blobs, self.plan.bundle), stored_model(self.blobs, self.plan.model)
        self._save(attempt=self.plan.attempt + 1)
        for shard in range(self.plan.shards):
            if shard not in self.plan.done:
                done = _Replaying(self.blobs, self.plan, shard, bundle, model).run()
                self._save(done={**self.plan.done, shard: done})
                self.progress(self.plan)
        self._delete(lambda shard, attempt: self.plan.done[shard].attempt != attempt)
        self._save(state="ready")

    def promote(self) -> None:
        """Let the shadow's readings take the place of those they were made from; what arrived since stays.

        ConfigError: it is not ready. NotAsReplayedError: something was replaced since; that shard stays as it is.
        """
        self._refuse_but("promote", "ready", "promoting", "promoted")
        if self.plan.state != "promoted":
            self._move("promoting", "promoted", "before", "after")

    def roll_back(self) -> None:
        """Let the readings be as they were before the promote, if there was one. ConfigError: it is not even ready."""
        self._refuse_but("rollback", "ready", "promoting", "promoted", "rolling back")
        if self.plan.state != "ready":
            self._move("rolling back", "ready", "after", "before")

    def discard(self) -> None:
        """Delete the shadow and, after a promote, what it replaced. ConfigError: it is promoted in part only."""
        self._refuse_but("discard", "replaying", "ready", "promoted", "discarding")
        self._save(state="discarding")
        self._delete(lambda _shard, _attempt: True)
        self.blobs.delete([plan_key(self.plan.id)])

    def _move(self, state: State, then: State, old: How, new: How) -> None:
        self._save(state=state)
        for shard, done in sorted(self.plan.done.items()):
            if done.readings and (shard in self.plan.moved) == (new == "before"):
                copies = copy_of(self.blobs, self.plan, shard, old), copy_of(self.blobs, self.plan, shard, new)
                Swap(self.blobs, shard, self.plan.start, self.plan.end, *copies, done.readings).run()
                moved = {*self.plan.moved} ^ {shard}
                self._save(moved=tuple(sorted(moved)))
                self.progress(self.plan)
        self._save(state=then)

    def _refuse_but(self, action: str, *allowed: State) -> None:
        if self.plan.state not in allowed:
            advice = {
                "replaying": "run the same `watchkeeper reprocess` command again to finish the replay",
                "promoting": "run `watchkeeper reprocess promote` again to finish it, or `rollback`",
                "rolling back": "run `watchkeeper reprocess rollback` again to finish it",
                "discarding": "run `watchkeeper reprocess discard` again to finish it",
            }.get(self.plan.state, "see `watchkeeper reprocess list`")
            message = f"{self.plan.id} is {self.plan.state}, so `{action}` cannot be done: {advice}"
            raise ConfigError(message)

    def _save(self, **changes: object) -> None:
        changed = msgspec.structs.replace(self.plan, **changes)
        if changed != self.plan:
            self.held.save(changed)

    def _delete(self, which: Callable[[int, int], bool]) -> None:
        """Delete what the attempts have written that `which` (shard, attempt) names."""
        prefix = f"{ROOT}{self.plan.id}/"
        for key in self.blobs.list(prefix):
            shard, _, rest = key.removeprefix(prefix).partition("/")
            if rest and which(int(shard), int(rest.partition("/")[0])):
                self.blobs.delete([key])


@dataclasses.dataclass(slots=True)
class _Replaying:
    """One shard, once."""

    blobs: Blobs
    plan: Plan
    shard: int
    bundle: Bundle
    model: Model | None

    def run(self) -> Done:
        plan, shard = self.plan, self.shard
        prefix = attempt_prefix(plan.id, shard, plan.attempt)
        replay = Replay(shard, plan.shards, self.bundle, self.model, plan.stage, explain=True)
        before, after = (Copy(Under(self.blobs, f"{prefix}{how}/"), shard) for how in ("before", "after"))
        readings, tenants = 0, set[str]()
        for low, high in hours(self.blobs, shard, plan.start, plan.end, plan.lead_in):
            stored: list[Pack] = []
            made: list[Pack] = []
            for stretch in stretches(self.blobs, shard, low, high, plan.stage, self.bundle):
                packs, _ = replay.take(stretch.given)
                if low >= plan.start:
                    stored.append(stretch.stored)
                    made += packs
            before.add(stored)
            after.add(made)
            readings += sum(map(len, stored))
            tenants |= {who.tenant for pack in stored for who in pack.devices}
        before.close()
        after.close()
        found = [each for tenant in sorted(tenants) for each in replay.episodes(tenant, plan.start)]
        episodes = [each for each in found if each.opened < plan.end]
        self.blobs.put(f"{prefix}episodes", msgspec.json.encode(episodes))
        return Done(plan.attempt, readings, len(episodes))


def hours(blobs: Blobs, shard: int, start: int, end: int, lead_in: int) -> Iterator[tuple[int, int]]:
    """The hours from `lead_in` before `start` up to `end` (epoch ms) in which a shard may hold readings.

    None of them has `start` within it.
    """
    occupied = stored_times(blobs, shard, start - lead_in, end)
    for first, last in ((start - lead_in, start), (start, end)):
        for low in range(first, last, HOUR_MS):
            high = min(low + HOUR_MS, last)
            if any(begins < high and low <= ends for begins, ends in occupied):
                yield low, high


def shadow_episodes(blobs: Blobs, plan: Plan, shard: int) -> list[Episode]:
    """The episodes that the replay of a shard has found. StateError: they cannot be read."""
    key = f"{attempt_prefix(plan.id, shard, plan.done[shard].attempt)}episodes"
    blob = blobs.get_many([key]).get(key)
    try:
        return msgspec.json.decode(blob.data if blob else b"", type=list[Episode])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        message = f"{key}: cannot be read: {error}"
        raise StateError(message) from error


def stored_model(blobs: Blobs, version: str) -> Model | None:
    """A stored model; none for an empty version. ModelError: it is not there, or cannot be read."""
    if not version:
        return None
    blob = blobs.get_many([model_key(version)]).get(model_key(version))
    if blob is None:
        message = f"there is no model {version!r}; `watchkeeper models list` shows those there are"
        raise ModelError(message)
    return Model.decode(blob.data)
