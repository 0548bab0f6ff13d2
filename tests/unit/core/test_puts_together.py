"""Rows that a stage writes go together where nothing depends on their order, and stay in order where it does."""

from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.memory import MemoryTables, memory_ports
from watchkeeper.outcome import ABSENT, Put
from watchkeeper.pipeline import STAGES
from watchkeeper.published import Published
from watchkeeper.records import Acknowledgement
from watchkeeper.run import Runner
from watchkeeper.topology import ACKNOWLEDGEMENTS, REVIEWS


class Told(MemoryTables):
    """Remembers how it was asked."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def put(self, table, key, value, *expect):
        self.calls.append((table, [key.sort]))
        return super().put(table, key, value, *expect)

    def put_many(self, table, rows):
        self.calls.append((table, [key.sort for key in rows]))
        for key, value in rows.items():
            super().put(table, key, value)


def put(table, name, *expect):
    return Put(table, "default", name, Acknowledgement(name, "default", "eva", 1), *expect)


def test_rows_that_follow_each_other_go_together_and_conditions_stay_in_their_place():
    ports, tables = memory_ports(), Told()
    object.__setattr__(ports, "tables", tables)
    runner = Runner(STAGES["api"], None, ports, Published(ports, Bundle.from_files({})), 1, lambda: 0)
    here, there = ACKNOWLEDGEMENTS, REVIEWS
    runner._put_all(
        [put(here, "a"), put(here, "b"), put(there, "c"), put(here, "d", ABSENT), put(here, "e"), put(here, "e")]
    )
    assert tables.calls == [(here.name, ["a", "b"]), (there.name, ["c"]), (here.name, ["d"]), (here.name, ["e"])]
