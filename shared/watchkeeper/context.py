"""What a stage sees of the world: the time, what is published, its states, and the ports its row declares."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from watchkeeper.errors import DecodeError, StateError, Unavailable, Undeclared
from watchkeeper.outcome import Put
from watchkeeper.ports import Key, takes
from watchkeeper.topology import OUTBOX
from watchkeeper.wire import read_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watchkeeper.cost.budget import Budget
    from watchkeeper.detection.classes import ClassBook
    from watchkeeper.detection.model import Model
    from watchkeeper.knowledge.bundle import Bundle
    from watchkeeper.ports import Blobs, Completion, Meter, Ports, Row
    from watchkeeper.published import Published
    from watchkeeper.records import Delivery, Severity, Switches
    from watchkeeper.topology import Stage, TableSpec, Uses

log = logging.getLogger(__name__)
Record = TypeVar("Record", bound=msgspec.Struct)
FIRST_RETRY_MS = 2_000
LONGEST_RETRY_MS = 300_000


@dataclasses.dataclass(slots=True)
class Context:
    """One batch's view. Whatever the stage's row does not declare raises Undeclared.

    `states` are the stage's states by shard; `now` is epoch ms, wall time, the same for the whole batch; `used` counts
    what the meter should see.
    """

    stage: Stage
    _ports: Ports
    _published: Published
    states: dict[int, Any]
    now: int
    shards: int
    used: Counter[str] = dataclasses.field(default_factory=Counter)

    @property
    def bundle(self) -> Bundle:
        """Rules, catalogue and runbooks in force."""
        self._declared("knowledge")
        return self._published.bundle

    @property
    def model(self) -> Model | None:
        """The detection model in force, if one has been trained."""
        self._declared("detection_model")
        return self._published.model

    @property
    def classes(self) -> ClassBook | None:
        """What is known of the classes of devices, if it has been looked at."""
        self._declared("detection_model")
        return self._published.classes

    @property
    def switches(self) -> Switches:
        """What the budget has switched off."""
        return self._published.switches

    @property
    def blobs(self) -> Blobs:
        """Objects, to read."""
        self._declared("blobs")
        return self._ports.blobs

    @property
    def meter(self) -> Meter:
        """What has been counted and used, to read."""
        self._declared("meter")
        return self._ports.meter

    @property
    def budget(self) -> Budget:
        """Dollars a month, and the prices they are reckoned with."""
        self._declared("meter")
        return self._published.budget

    @property
    def receivers(self) -> Sequence[str]:
        """The names of the receivers of alerts."""
        self._declared("receivers")
        return tuple(self._ports.receivers)

    def receivers_for(self, severity: Severity) -> Sequence[str]:
        """The names of those that alerts of a severity go to."""
        return [name for name in self.receivers if takes(self._ports.receivers[name], severity)]

    @property
    def may_call_model(self) -> bool:
        """Is a language model configured, and not switched off by the budget?"""
        self._declared("language_model")
        return self._ports.language_model is not None and self.switches.model_calls

    def get_many(self, table: TableSpec, keys: Sequence[Key], kind: type[Record]) -> dict[Key, tuple[Record, str]]:
        """Records that are there, each with its version. StateError: one cannot be read."""
        self._may_read(table)
        rows = self._ports.tables.get_many(table.name, keys)
        return {key: (_record(table, row, kind), row.version) for key, row in rows.items()}

    def query(
        self, table: TableSpec, partition: str, kind: type[Record], low: str = "", high: str = ""
    ) -> list[Record]:
        """Records of a partition with `low` <= sort key < `high`, in order."""
        self._may_read(table)
        rows = self._ports.tables.query(table.name, partition, low, high)
        return [_record(table, row, kind) for row in rows]

    def complete(self, system: str, prompt: str, schema: Mapping[str, object]) -> Completion:
        """Ask the language model. Unavailable: none, or it does not answer; ModelError: it refuses."""
        if not self.may_call_model or self._ports.language_model is None:
            message = "no language model is configured, or the budget has switched it off"
            raise Unavailable(message)
        self.used["model_calls"] += 1
        answer = self._ports.language_model.complete(system, prompt, schema)
        self.used["prompt_tokens"] += answer.prompt_tokens
        self.used["completion_tokens"] += answer.completion_tokens
        return answer

    def deliver(self, delivery: Delivery) -> Put:
        """Send an alert to its receiver now; answers the outbox row that says how it went."""
        self._declared("receivers")
        attempts = delivery.attempts + 1
        try:
            self._ports.receivers[delivery.receiver].send(delivery.alert)
        except Exception as error:  # whatever a receiver's fault is, the alert is kept and tried again
            if not isinstance(error, Unavailable):
                log.exception("receiver %s failed", delivery.receiver)
            wait = min(FIRST_RETRY_MS * 2 ** min(delivery.attempts, 10), LONGEST_RETRY_MS)
            why = f"{type(error).__name__}: {error}"
            after = msgspec.structs.replace(delivery, attempts=attempts, next_try=self.now + wait, error=why)
        else:
            after = msgspec.structs.replace(delivery, attempts=attempts, next_try=0, state="sent", error="")
        return Put(OUTBOX, delivery.receiver, delivery.id, after)

    def _declared(self, use: Uses) -> None:
        if use not in self.stage.uses:
            message = f"{self.stage.name} uses {use}, which its row of the pipeline does not declare"
            raise Undeclared(message)

    def _may_read(self, table: TableSpec) -> None:
        if table not in (*self.stage.reads, *self.stage.writes):
            message = f"{self.stage.name} reads table {table.name!r}, which its row does not declare"
            raise Undeclared(message)


def _record(table: TableSpec, row: Row, kind: type[Record]) -> Record:
    """A stored record; one that cannot be read is no fault of the message at hand."""
    try:
        return read_record(row.value, kind)
    except DecodeError as error:
        message = f"{table.name} {'/'.join(row.key)}: {error}"
        raise StateError(message) from error
