"""A worker: runs the whole chain for some partitions of a stream, stage by stage, and the timers of their shards."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from typing import TYPE_CHECKING

from watchkeeper.errors import Conflict, StateError, Unavailable, Undeclared
from watchkeeper.pipeline import PIPELINE
from watchkeeper.run import Runner
from watchkeeper.wire import Lately

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from watchkeeper.ports import Ports, Stored
    from watchkeeper.published import Published
    from watchkeeper.topology import Stage, Topic

log = logging.getLogger(__name__)
BATCH = 1024  # messages taken at once from a partition, at most,
BATCH_BYTES = 2_000_000  # or so many bytes of them, whatever comes first
READ = 64  # messages read at a time
FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 500, 30_000


@dataclasses.dataclass(slots=True)
class _Lane:
    """One stage on one partition of one topic: how far it is, and until when it rests after a failure."""

    runner: Runner
    topic: Topic
    partition: int
    position: int
    failures: int = 0
    rest_until: int = 0
    error: str = ""


@dataclasses.dataclass(slots=True)
class _Timer:
    """A stage's timer: its runner (states included), and when it is next due."""

    runner: Runner
    due: int = 0


class Worker:
    """Runs the stages for the partitions that `owns` says are this worker's.

    A partition whose dependency is down rests (longer each time) and goes on where it was; the others are not held up.
    `blocked` says which rest and why.
    """

    def __init__(
        self,
        ports: Ports,
        published: Published,
        *,
        shards: int,
        clock: Callable[[], int],
        owns: Callable[[int], bool] = lambda _partition: True,
        lanes: Sequence[Stage] = PIPELINE,
        timers: Sequence[Stage] = PIPELINE,
        batch: int = BATCH,
    ) -> None:
        """Begin where the last worker of these partitions has stopped; with the lanes and timers of these stages."""
        self.ports, self.published, self.clock, self.batch = ports, published, clock, batch
        self.behind = False  # did the last step leave something waiting?
        self._lanes: list[_Lane] = []
        self._timers: list[_Timer] = []
        lately = Lately()
        topics = {topic.name: topic for stage in PIPELINE for topic in stage.topics}
        for stage in dict.fromkeys((*lanes, *timers)):
            runners = [Runner(stage, topic, ports, published, shards, clock, lately) for topic in stage.topics]
            for runner, topic in zip(runners, stage.topics, strict=True) if stage in lanes else ():
                for partition in range(ports.stream.partitions(topic.name)):
                    if owns(partition):
                        position = ports.stream.committed(stage.name, topic.name, partition)
                        self._lanes.append(_Lane(runner, topic, partition, position))
            if stage in timers and stage.tick and (stage.state == "shard" or owns(0)):
                timer = runners[0] if runners else Runner(stage, None, ports, published, shards, clock)
                self._timers.append(_Timer(timer))
        partitions = max(ports.stream.partitions(name) for name in topics)
        self._shards = [shard for shard in range(shards) if owns(shard % partitions)]

    @property
    def blocked(self) -> dict[str, str]:
        """By stage, topic and partition: why it rests."""
        return {f"{x.runner.stage.name} {x.topic.name}/{x.partition}": x.error for x in self._lanes if x.error}

    def step(self) -> Counter[str]:
        """One batch of each lane that has one, and the timers that are due. Nothing taken: `messages` is absent."""
        counts: Counter[str] = Counter()
        self.behind = False
        for lane in self._lanes:
            if lane.rest_until <= self.clock():
                counts += self._advance(lane)
        for timer in self._timers:
            if timer.due <= self.clock():
                self._tick(timer)
        return counts

    def _advance(self, lane: _Lane) -> Counter[str]:
        name, topic, partition = lane.runner.stage.name, lane.topic.name, lane.partition
        try:
            messages = self._read(lane)
            if not messages:
                lane.failures, lane.error = 0, ""
                return Counter()
            last = messages[-1].offset
            counts = lane.runner.take(
                partition, messages, lambda: self.ports.stream.commit(name, topic, partition, last)
            )
        except (Unavailable, Conflict, StateError, Undeclared) as error:
            self._rest(lane, error)
            return Counter()
        lane.position, lane.failures, lane.error = last, 0, ""
        return counts

    def _read(self, lane: _Lane) -> list[Stored]:
        messages: list[Stored] = []
        position, room = lane.position, BATCH_BYTES
        while len(messages) < self.batch and room > 0:
            limit = min(READ, self.batch - len(messages))
            read = self.ports.stream.read(lane.topic.name, lane.partition, position, limit)
            messages += read
            if len(read) < limit:
                return messages
            position = read[-1].offset
            room -= sum(len(message.value) for message in read)
        self.behind = True
        return messages

    def _rest(self, lane: _Lane, error: Exception) -> None:
        pause = min(FIRST_PAUSE_MS * 2**lane.failures, LONGEST_PAUSE_MS)
        lane.failures += 1
        lane.rest_until, lane.error = self.clock() + pause, f"{type(error).__name__}: {error}"
        log.error(
            "%s stops at %s/%d for %d ms: %s", lane.runner.stage.name, lane.topic.name, lane.partition, pause, error
        )

    def _tick(self, timer: _Timer) -> None:
        stage = timer.runner.stage
        timer.due = self.clock() + round((stage.timer.seconds if stage.timer else 60) * 1000)
        try:
            timer.runner.tick(self._shards)
        except (Unavailable, Conflict, StateError) as error:
            log.error("the timer of %s failed and runs again: %s", stage.name, error)
        except Exception:  # a timer that is broken must not stop the partitions
            log.exception("the timer of %s is broken, and runs again", stage.name)
