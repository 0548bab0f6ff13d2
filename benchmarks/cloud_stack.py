"""Telemetry through a cloud's functions, in this process over counting ports: what the clouds' benchmarks share."""

from __future__ import annotations

import abc
import contextlib
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, TypeVar

from watchkeeper.ids import shard_of
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.memory import memory_ports
from watchkeeper.model_in_force import Who, promote_model, put_in_shadow
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Ports, Stored
from watchkeeper.published import Published
from watchkeeper.stages.retrain import retrain
from watchkeeper_adapters.knowledge_files import read_files
from watchkeeper_local.knowledge import shipped_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from watchkeeper.detection.model import Model

    Charged = Callable[[str, str, Sequence[Any], Any], Counter[str]]

WINDOW_S = 5
WARM_UP = 3  # windows
SHORTEST_S = 120  # of a run whose figures may be held against others
BEGAN = 1_790_000_000_000
WAY = ("ingest", "clean", "rule_check", "ml_score", "store")
SCORED = ("clean", "rule_check", "ml_score")  # what the goal of 100,000 readings a second is about
BODY = b'{"ts":%d,"values":{"flow":%.2f,"discharge_pressure":%.3f,"vibration":%.3f,"motor_current":%.2f}}'

S = TypeVar("S", bound="Stack")


def caution(windows: int) -> str:
    """What is wrong with the figures of so many windows; empty: nothing."""
    if windows * WINDOW_S >= SHORTEST_S:
        return ""
    due = "rows and segments that are due once a minute are not all counted"
    return f"NOT COMPARABLE: a run of under {SHORTEST_S} s, in which {due}"


class Counting:
    """A port that counts what its calls would be `charged` for; `now` names the stage they are charged to."""

    def __init__(self, kind: str, port: Any, charged: Charged, stack: Stack) -> None:  # noqa: ANN401
        self._kind, self._port, self._charged, self._stack = kind, port, charged, stack

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._port, name)

        def counted(*args: Any, **more: Any) -> Any:  # noqa: ANN401 - whatever the port takes
            answer = call(*args, **more)
            self._stack.counts[self._stack.now] += self._charged(self._kind, name, args, answer)
            return answer

        return counted


class Stack(abc.ABC):
    """Functions over ports, and what brings them their batches."""

    def __init__(self, ports: Ports, shards: int, partitions: int, charged: Charged) -> None:
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.now = "-"
        self.plain, self.shards, self.partitions = ports, shards, partitions
        counting = (
            Counting(kind, getattr(ports, kind), charged, self) for kind in ("stream", "tables", "blobs", "meter")
        )
        self.ports = Ports(*counting, contextlib.nullcontext)  # type: ignore[arg-type]
        self.clock_ms = BEGAN
        self.published = Published(self.ports, Bundle.from_files(read_files(shipped_folder())))
        self._positions: Counter[tuple[str, int]] = Counter()
        self.seconds: Counter[str] = Counter()  # of a core, in handlers
        self.waited: Counter[str] = Counter()  # by the clock on the wall

    @abc.abstractmethod
    def largest(self, stage: str) -> int:
        """Messages that a function is given at once, at most."""

    @abc.abstractmethod
    def prepared(self, stage: str, topic: str, partition: int, messages: Sequence[Stored]) -> Callable[[], object]:
        """A call of the function with what the cloud would bring it, made before the time is taken."""

    @abc.abstractmethod
    def ended(self, stage: str, answer: object) -> None:
        """Check what the function has answered, and count what the call itself costs."""

    def window(self, number: int, devices: int) -> None:
        """A window's telemetry through all stages; each takes what the one before it has made of it."""
        self.clock_ms = BEGAN + (number + 1) * WINDOW_S * 1000
        for name in WAY:
            for topic in STAGES[name].topics:
                batches = telemetry(number, devices, self) if name == "ingest" else self._read(topic.name)
                most = self.largest(name)
                for partition, messages in batches.items():
                    for start in range(0, len(messages), most):
                        self._call(name, self.prepared(name, topic.name, partition, messages[start : start + most]))

    def clear(self) -> None:
        """Begin to count."""
        for counted in (self.counts, self.seconds, self.waited):
            counted.clear()

    def _read(self, topic: str) -> dict[int, list[Stored]]:
        found = {}
        for partition in range(self.partitions):
            messages = self.plain.stream.read(topic, partition, self._positions[topic, partition] - 1, 100_000)
            if messages:
                self._positions[topic, partition] = messages[-1].offset + 1
                found[partition] = messages
        return found

    def _call(self, name: str, function: Callable[[], object]) -> None:
        self.now = name
        began, worked = time.perf_counter(), time.process_time()
        answer = function()
        self.seconds[name] += time.process_time() - worked
        self.waited[name] += time.perf_counter() - began
        self.ended(name, answer)


def telemetry(number: int, devices: int, stack: Stack) -> dict[int, list[Stored]]:
    """A window of the hub's messages by partition: a device a second, as JSON of about 130 bytes."""
    batches: dict[int, list[Stored]] = defaultdict(list)
    for second in range(WINDOW_S):
        ts = BEGAN + (number * WINDOW_S + second) * 1000
        for device in range(devices):
            turn = ts // 1000 + device
            noise = (turn * 7919 % 100 / 50, turn * 104729 % 100 / 900, turn * 1299709 % 100 / 900, turn % 50 / 100)
            body = BODY % (ts, 120 + noise[0], 6.2 + noise[1], 2.0 + noise[2], 42 + noise[3])
            name = f"pump-{device:05d}"
            partition = shard_of("default", name, stack.shards) % stack.partitions
            offset = number * 1_000_000 + len(batches[partition])
            batches[partition].append(Stored(offset, 0, body, {"device": name, "received": str(ts)}))
    return batches


def trained(make: Callable[[Ports, int, int], Stack]) -> Model:
    """A detection model, from a few devices that ran for some minutes."""
    stack = make(memory_ports(1), 1, 1)
    for number in range(60):
        stack.window(number, 40)
    return retrain(stack.plain, 1, stack.clock_ms)


def run(
    make: Callable[[Ports, int, int], S],
    ports: Ports,
    model: Model,
    devices: int,
    windows: int,
    shards: int,
    partitions: int,
) -> S:
    """Some windows with a model in force; the first WARM_UP of them are not counted."""
    who = Who("benchmark", BEGAN)
    put_in_shadow(ports.blobs, model, who)
    promote_model(ports.blobs, model.version, who)
    stack = make(ports, shards, partitions)
    for number in range(WARM_UP + windows):
        if number == WARM_UP:
            stack.clear()
        stack.window(number, devices)
    return stack
