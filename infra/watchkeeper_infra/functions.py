"""Which functions there are, from the pipeline's table: one for each stage, and what each one needs.

A function takes its stage's topics and timer. Requests of all stages are taken by the one ASGI application, which is
the function of the stage that has nothing but requests.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Literal

from watchkeeper.pipeline import PIPELINE
from watchkeeper.topology import Http
from watchkeeper_infra.words import LEARNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from watchkeeper.topology import Every, Stage, TableSpec, Topic

MINUTE_S = 60
BundleName = Literal["stream", "explain", "web", "train"]


@dataclasses.dataclass(frozen=True, slots=True)
class FunctionSpec:
    """A function: the stages whose work it does, and its size (MB, seconds).

    `stages` has more than one for the function that takes the requests of all.
    """

    name: str
    stages: tuple[Stage, ...]
    bundle: BundleName
    memory_mb: int
    timeout_s: int

    @property
    def handler(self) -> str:
        """Where its code begins."""
        return f"watchkeeper_aws.handlers.{self.name}.handler"

    @property
    def stage(self) -> Stage:
        """The stage that it is named after."""
        return next(stage for stage in self.stages if stage.name == self.name)

    @property
    def topics(self) -> tuple[Topic, ...]:
        """The topics that it takes."""
        return self.stage.topics

    @property
    def emits(self) -> tuple[Topic, ...]:
        """The topics that it may write to, dead-letter aside."""
        return tuple(dict.fromkeys(topic for stage in self.stages for topic in stage.emits))

    @property
    def writes(self) -> tuple[TableSpec, ...]:
        """The tables that it may write."""
        return tuple(dict.fromkeys(table for stage in self.stages for table in stage.writes))

    @property
    def reads(self) -> tuple[TableSpec, ...]:
        """The tables that it may read only."""
        read = dict.fromkeys(table for stage in self.stages for table in stage.reads)
        return tuple(table for table in read if table not in self.writes)

    @property
    def uses(self) -> tuple[str, ...]:
        """What else it may use."""
        return tuple(dict.fromkeys(use for stage in self.stages for use in stage.uses))


SIZES: Mapping[BundleName, tuple[int, int]] = {
    "stream": (1769, 120),  # 1,769 MB is one whole core
    "explain": (1769, 300),
    "web": (1769, 29),  # the API gateway waits 30 s
    "train": (4096, 900),
}
"""Memory in MB and time limit in seconds, by bundle."""


NO_FUNCTION = {"watch": "who watches the pipeline must not depend on it: on AWS alarms of CloudWatch do, with a canary"}
"""Stages that are no function here, and why."""


def functions_of(pipeline: Sequence[Stage]) -> Mapping[str, FunctionSpec]:
    """The functions of a pipeline, by name."""
    return {stage.name: _function(stage, pipeline) for stage in pipeline if stage.name not in NO_FUNCTION}


def consumers_first(functions: Iterable[FunctionSpec]) -> list[FunctionSpec]:
    """The functions in the order of an upgrade: whoever takes a topic comes before those who write to it."""
    waiting, done = list(functions), list[FunctionSpec]()
    while waiting:
        ready = [f for f in waiting if not any(set(f.emits) & set(o.topics) for o in waiting if o is not f)]
        if not ready:
            names = ", ".join(function.name for function in waiting)
            message = f"these stages feed one another in a circle: {names}"
            raise ValueError(message)
        done += ready
        waiting = [function for function in waiting if function not in ready]
    return done


def rate(timer: Every) -> str:
    """A timer as the scheduler says it."""
    minutes = max(1, math.ceil(timer.seconds / MINUTE_S))
    return "rate(1 minute)" if minutes == 1 else f"rate({minutes} minutes)"


def _function(stage: Stage, pipeline: Sequence[Stage]) -> FunctionSpec:
    only_requests = all(isinstance(trigger, Http) for trigger in stage.on)
    asked = [other for other in pipeline if any(isinstance(trigger, Http) for trigger in other.on)]
    bundle = _bundle(stage, only_requests=only_requests)
    return FunctionSpec(stage.name, tuple(asked) if only_requests else (stage,), bundle, *SIZES[bundle])


def _bundle(stage: Stage, *, only_requests: bool) -> BundleName:
    if only_requests:
        return "web"
    if "language_model" in stage.uses:
        return "explain"
    if stage.name == LEARNS:
        return "train"
    return "stream"


FUNCTIONS = functions_of(PIPELINE)
