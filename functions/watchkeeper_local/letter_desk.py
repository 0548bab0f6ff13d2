"""The desk of an operator: which dead letters are open, sending them back, and remembering it, over any ports."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec

from watchkeeper.dead_letters import (
    OPERATORS,
    TAKEN,
    Back,
    Found,
    TakenLetter,
    open_letters,
    read_letter,
    taken_up_to,
    way_back,
)
from watchkeeper.errors import ConfigError, DecodeError
from watchkeeper.ports import ABSENT, Key
from watchkeeper.run import Runner
from watchkeeper.stages.ingest import admit
from watchkeeper.topology import DEAD_LETTER, IOT_DATA_INGESTION
from watchkeeper_local.columns import day_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Literal

    from watchkeeper.context import Context
    from watchkeeper.outcome import Outcome, RawMessage
    from watchkeeper.ports import Ports
    from watchkeeper.published import Published
    from watchkeeper.topology import Stage

CHUNK = 50  # letters read at once: each may hold a whole pack
ROWS = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Desk:
    """What is done with dead letters. `ingest` is the stage that takes requests."""

    ports: Ports
    published: Published
    ingest: Stage
    shards: int
    clock: Callable[[], int]

    def open(self) -> Iterator[Found]:
        """The open letters, each once."""
        return open_letters(self._found(since_commit=True), self.taken())

    def chosen(self, ids: Sequence[str], *, everything: bool) -> list[Found]:
        """The open letters with these ids, or beginnings of them. ConfigError: one is of none, or of several."""
        if everything == bool(ids):
            raise ConfigError("name letters by their ids, or all of them with --all; `dead-letters list` shows them")
        found = list(self.open())
        return found if everything else list({item.letter.id: item for item in _named(ids, found)}.values())

    def letter(self, name: str) -> Found:
        """A letter that is still kept, open or taken. ConfigError: there is none."""
        found = {item.letter.id: item for item in self._found(since_commit=False)}
        return _named([name], list(found.values()))[0]

    def taken(self) -> dict[str, TakenLetter]:
        """What operators have dealt with, by id."""
        taken: dict[str, TakenLetter] = {}
        low = ""
        while rows := self.ports.tables.query(TAKEN.name, OPERATORS, low, limit=ROWS):
            taken |= {row.key.sort: msgspec.json.decode(row.value, type=TakenLetter) for row in rows}
            low = f"{rows[-1].key.sort}\0"
        return taken

    def redrive(self, found: Found) -> None:
        """Send a letter back to where it came from, then remember it; in one transaction where there are any.

        DecodeError: it has no way back, or ingest still refuses it; then it stays open. Conflict: somebody else was
        faster, and where there are transactions nothing is sent.
        """
        now = self.clock()
        with self.ports.transaction():
            back = way_back(found.letter, self.shards, now)
            if isinstance(back, Back):
                self.ports.stream.append(back.topic, [back.message])
                if back.readings:  # they are counted as dead, and will be as stored
                    self.ports.meter.add(day_of(now), OPERATORS, {"accepted": back.readings})
            else:
                self._request(back)
            self._remember(found, "redriven", now)

    def discard(self, found: Found) -> None:
        """Take a letter without doing anything with it. Conflict: somebody else was faster."""
        self._remember(found, "discarded", self.clock())

    def commit(self) -> None:
        """Say up to where all letters are taken, so that they may be deleted."""
        for partition, offset in taken_up_to(self._found(since_commit=True), self.taken()).items():
            self.ports.stream.commit(OPERATORS, DEAD_LETTER.name, partition, offset)

    def _remember(self, found: Found, how: Literal["redriven", "discarded"], now: int) -> None:
        record = TakenLetter(found.letter.id, how, now)
        self.ports.tables.put(TAKEN.name, Key(OPERATORS, record.letter), msgspec.json.encode(record), ABSENT)

    def _request(self, message: RawMessage) -> None:
        def decide(context: Context) -> Outcome:
            outcome, (receipt,) = admit([message], IOT_DATA_INGESTION, context)
            if receipt.error or receipt.rejected:  # as an exception, so that no second letter is made of it
                raise DecodeError(receipt.error or receipt.rejected[0].reason)
            return outcome

        Runner(self.ingest, None, self.ports, self.published, self.shards, self.clock).request(decide)

    def _found(self, *, since_commit: bool) -> Iterator[Found]:
        stream, topic = self.ports.stream, DEAD_LETTER.name
        for partition in range(stream.partitions(topic)):
            after = stream.committed(OPERATORS, topic, partition) if since_commit else -1
            while stored := stream.read(topic, partition, after, CHUNK):
                yield from (read_letter(partition, message) for message in stored)
                after = stored[-1].offset


def _named(names: Sequence[str], found: Sequence[Found]) -> list[Found]:
    chosen = []
    for name in names:
        fitting = [item for item in found if item.letter.id.startswith(name)]
        exact = [item for item in fitting if item.letter.id == name] or fitting
        if len(exact) != 1:
            what = "several dead letters begin" if exact else "no open dead letter begins"
            raise ConfigError(f"{what} with {name!r}; `dead-letters list` shows them")
        chosen += exact
    return chosen
