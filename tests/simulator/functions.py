"""The simulator's world with functions of a cloud instead of workers: what the cloud does between them."""

from __future__ import annotations

import abc
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tests.simulator.world import BATCH, World
from watchkeeper.errors import Unavailable
from watchkeeper.topology import BATCH_DATA_INGESTION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulator.scenario import Request, Scenario
    from watchkeeper.ports import Ports, Stored
    from watchkeeper.topology import Stage

TYPES = {
    "json": "application/json", "ndjson": "application/x-ndjson", "msgpack": "application/msgpack", "csv": "text/csv",
}  # fmt: skip


class Sent(NamedTuple):
    """A request of a client: its path, and what is behind a question mark there."""

    path: str
    query: str = ""
    method: str = "GET"
    content_type: str = "application/json"
    name: str = ""
    body: bytes = b""


class Functions(abc.ABC):
    """All functions of a stack, and what the cloud does: it polls topics, keeps places, and rings timers."""

    def __init__(self, ports: Ports, stages: Sequence[Stage], clock: Callable[[], int]) -> None:
        """Groups begin where they have stopped."""
        self._ports, self._clock = ports, clock
        self.batch, self.behind, self.blocked = BATCH, False, dict[str, str]()
        self._positions = {
            (stage.name, topic.name, partition): ports.stream.committed(stage.name, topic.name, partition)
            for stage in stages
            for topic in stage.topics
            for partition in range(ports.stream.partitions(topic.name))
        }
        self._due = {stage.name: 0 for stage in stages if stage.timer and stage.tick}
        self._seconds = {stage.name: stage.timer.seconds for stage in stages if stage.timer}

    @abc.abstractmethod
    def take(self, stage: str, topic: str, partition: int, messages: list[Stored]) -> int:
        """Give a function a batch; answers the last offset that does not come again."""

    @abc.abstractmethod
    def ring(self, stage: str) -> None:
        """A stage's timer. Unavailable: it did not work, and rings again."""

    @abc.abstractmethod
    def request(self, sent: Sent) -> tuple[int, Any]:
        """The status and body of the answer to a request."""

    @abc.abstractmethod
    def close(self) -> None:
        """No more of them."""

    def step(self) -> Counter[str]:
        """One batch of each partition that has one, and the timers that are due."""
        counts: Counter[str] = Counter()
        for where in self._positions:
            counts["messages"] += self._poll(*where)
        for stage, due in self._due.items():
            if due <= self._clock():
                self._due[stage] = self._clock() + round(self._seconds[stage] * 1000)
                try:
                    self.ring(stage)
                except Unavailable:
                    continue
        return counts

    def _poll(self, stage: str, topic: str, partition: int) -> int:
        name, after = f"{stage} {topic}/{partition}", self._positions[stage, topic, partition]
        self.blocked.pop(name, None)
        try:
            messages = self._ports.stream.read(topic, partition, after, self.batch)
            if not messages:
                return 0
            last = self.take(stage, topic, partition, messages)
            if waits := last < messages[-1].offset:
                self.blocked[name] = "comes again"
            if last > after:
                self._ports.stream.commit(stage, topic, partition, last)
        except Unavailable as error:
            self.blocked[name] = str(error)
            return 0
        self._positions[stage, topic, partition] = last
        return 0 if waits else len(messages)


class FunctionWorld(World, abc.ABC):
    """Requests go to the function that serves them, over the cloud's form of them."""

    _api: Functions | None = None
    _at = 0  # when the request at hand was made

    def run(self, scenario: Scenario) -> World:
        try:
            return super().run(scenario)
        finally:
            self._let_go()

    @abc.abstractmethod
    def functions(self, ports: Ports, clock: Callable[[], int]) -> Functions:
        """The cloud's, on these ports."""

    def ask_all(self, paths: Sequence[str]) -> list[Any]:
        """What the API answers, by the function that serves it."""
        api = self.functions(self.ports, self.clock)
        try:
            answers = [api.request(Sent(*path.partition("?")[::2])) for path in paths]
        finally:
            api.close()
        assert {status for status, _ in answers} == {200}, answers
        return [msgspec.json.decode(body) for _, body in answers]

    def _let_go(self) -> None:
        if self._api is not None:
            self._api.close()
            self._api = None

    def _worker(self, ports: Ports) -> Any:
        return self.functions(ports, self.clock)

    def _request(self, request: Request) -> None:
        way = "csv" if request.form == "csv" else "batch" if request.topic is BATCH_DATA_INGESTION else "realtime"
        if self._api is None:
            self._api = self.functions(self.wrapped, lambda: self._at)
        self._at = request.at
        try:
            sent = Sent(f"/ingest/{way}", "", "POST", TYPES[request.form], request.key, request.body)
            status, answer = self._api.request(sent)
        except BaseException:
            self._let_go()
            raise
        if status == 503:
            raise Unavailable(str(answer))
        assert status in {202, 400}, (status, answer)
