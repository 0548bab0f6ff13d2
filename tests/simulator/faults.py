"""What goes wrong: every port wrapped, so that before or after any call something can happen, by plan."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from typing import TYPE_CHECKING, Any, Literal

from watchkeeper.errors import Conflict, Unavailable
from watchkeeper.outcome import ANYWAY
from watchkeeper.ports import Ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Kind = Literal["crash", "rewind", "outage", "conflict", "rival"]
WRITES = {"append", "commit", "put", "put_many", "delete", "add", "send"}


class Crash(BaseException):
    """The process is gone. No Exception, so that nobody can mean to handle it."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """After `gap` points more, a `kind`.

    The process dies (`rewind`: and its last `size` commits are lost), the ports are away for `size` points, somebody
    else writes first, or a rival does `size` steps.
    """

    gap: int
    kind: Kind
    size: int = 1


class Faults:
    """The plan, followed point by point. A point is before each call of a port, and after each one that writes."""

    def __init__(self, plan: tuple[Fault, ...] = (), *, transactional: bool = False, at_reads: bool = True) -> None:
        """`transactional`: a rival cannot work inside another's transaction. `at_reads`: points are at reads, too."""
        self._plan, self._transactional, self._at_reads = list(plan), transactional, at_reads
        self._gap = plan[0].gap if plan else 0
        self._away = self._inside = 0
        self.off = False
        self.points = 0
        self.done: list[str] = []
        self.rival: Callable[[int], None] = lambda _steps: None
        self.rewound = 0

    def stop(self) -> None:
        """From now on nothing goes wrong."""
        self._plan, self._away = [], 0

    def point(self, where: str, *, conditional: bool = False) -> None:
        """Something may happen here."""
        if self.off:
            return
        self.points += 1
        if self._away:
            self._away -= 1
            raise Unavailable(f"away {where}")
        if not self._plan:
            return
        self._gap -= 1
        if self._gap < 0 and self._possible(self._plan[0].kind, conditional):
            fault = self._plan.pop(0)
            self._gap = self._plan[0].gap if self._plan else 0
            self.done.append(f"{fault.kind} ({fault.size}) {where}")
            self._happen(fault, where)

    def _possible(self, kind: Kind, conditional: bool) -> bool:
        if kind == "conflict":
            return conditional
        return kind != "rival" or not (self._transactional and self._inside)

    def _happen(self, fault: Fault, where: str) -> None:
        if fault.kind == "rival":
            self.off = True
            try:
                self.rival(fault.size)
            finally:
                self.off = False
        elif fault.kind == "outage":
            self._away = fault.size - 1
            raise Unavailable(f"away {where}")
        elif fault.kind == "conflict":
            raise Conflict(f"somebody else was first {where}")
        else:
            self.rewound = fault.size if fault.kind == "rewind" else 0
            raise Crash(where)

    def around(self, where: str, call: Callable[..., Any], *args: Any, **more: Any) -> Any:
        """A call of a port with its points."""
        name = where.rpartition(".")[2]
        if name not in WRITES and not self._at_reads:
            return call(*args, **more)
        self.point(
            f"before {where}",
            conditional=name == "put" and (len(args) > 3 or (len(args) > 2 and args[2] is not ANYWAY)),
        )
        answer = call(*args, **more)
        if name in WRITES:
            self.point(f"after {where}")
        return answer

    @contextlib.contextmanager
    def transaction(self, begin: Callable[[], Any]) -> Iterator[None]:
        """A unit of work with its points: before it, before its commit, after it."""
        self.point("before a transaction")
        with begin():
            self._inside += 1
            try:
                yield
                self.point("before a commit of a transaction")
            finally:
                self._inside -= 1
        self.point("after a transaction")

    def wrap(self, ports: Ports) -> Ports:
        """The ports, with all that may go wrong."""
        return Ports(
            _Rewound(ports.stream, self),
            _Wrapped("tables", ports.tables, self),
            _Wrapped("blobs", ports.blobs, self),
            _Wrapped("meter", ports.meter, self),
            functools.partial(self.transaction, ports.transaction),
            ports.language_model,
            {name: _Wrapped("receiver", receiver, self) for name, receiver in ports.receivers.items()},
        )


class _Wrapped:
    def __init__(self, name: str, port: Any, faults: Faults) -> None:
        self._name, self._port, self._faults = name, port, faults

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._port, name)
        return functools.partial(self._faults.around, f"{self._name}.{name}", call)


class _Rewound(_Wrapped):
    """A stream that may have forgotten the last commits."""

    def __init__(self, port: Any, faults: Faults) -> None:
        super().__init__("stream", port, faults)

    def partitions(self, topic: str) -> int:
        return self._port.partitions(topic)

    def committed(self, group: str, topic: str, partition: int) -> int:
        return max(-1, self._port.committed(group, topic, partition) - self._faults.rewound)
