"""What every Tables promises. An adapter inherits the class and supplies the fixture `tables`: one without rows.

Keys hold whatever people call their devices; where a service forbids a character the adapter encodes it, in order.
"""

from abc import ABC, abstractmethod
from functools import partial

import pytest

from tests.conformance.racing import at_once, won
from watchkeeper.errors import Conflict
from watchkeeper.outcome import ABSENT
from watchkeeper.ports import Key, Tables
from watchkeeper.topology import DEVICES, EPISODES

TABLE = DEVICES.name
OTHER = EPISODES.name
KEY = Key("default", "pump-7")
ODD = [
    "a/b",
    "a\\b",
    "a?b",
    "a#b",
    "a%b",
    "a_b",
    "a|b",
    "a'b",
    'a"b',
    "a b",
    "a;b",
    "a\tb",
    "é",
    "日本",
    "😀",
    "~",
    "-",
]


def sorts(rows):
    return [row.key.sort for row in rows]


class TablesSuite(ABC):
    @pytest.fixture
    @abstractmethod
    def tables(self) -> Tables: ...

    def test_a_row_comes_back_with_the_version_its_put_answered(self, tables):
        version = tables.put(TABLE, KEY, b"\0\xff value")
        row = tables.get_many(TABLE, [KEY])[KEY]
        assert row == (KEY, b"\0\xff value", version)
        assert isinstance(row.key, Key)

    def test_only_rows_that_are_there_come_back(self, tables):
        tables.put(TABLE, KEY, b"x")
        assert list(tables.get_many(TABLE, [Key("default", "none"), KEY, Key("none", "pump-7")])) == [KEY]
        assert tables.get_many(TABLE, []) == {}
        assert tables.get_many(OTHER, [KEY]) == {}

    def test_many_rows_come_back_at_once(self, tables):
        keys = [Key(f"tenant-{number % 3}", f"device-{number}") for number in range(120)]
        for key in keys:
            tables.put(TABLE, key, key.sort.encode())
        assert {key: row.value for key, row in tables.get_many(TABLE, keys).items()} == {
            k: k.sort.encode() for k in keys
        }

    def test_many_rows_are_written_at_once_whatever_was_there(self, tables):
        before = tables.put(TABLE, KEY, b"before")
        keys = [KEY, *(Key(f"tenant-{number % 3}", f"device-{number}") for number in range(60))]
        tables.put_many(TABLE, {key: key.sort.encode() for key in keys})
        tables.put_many(TABLE, {})
        found = tables.get_many(TABLE, keys)
        assert {key: row.value for key, row in found.items()} == {key: key.sort.encode() for key in keys}
        assert len({row.version for row in found.values()} | {before}) == len(keys) + 1
        with pytest.raises(Conflict):
            tables.put(TABLE, KEY, b"late", before)
        assert tables.get_many(OTHER, keys) == {}

    def test_every_write_changes_the_version_even_if_the_value_is_the_same(self, tables):
        versions = [tables.put(TABLE, KEY, b"same") for _ in range(5)]
        assert len(set(versions)) == 5
        assert tables.get_many(TABLE, [KEY])[KEY].version == versions[-1]

    def test_absent_puts_once(self, tables):
        tables.put(TABLE, KEY, b"first", ABSENT)
        with pytest.raises(Conflict, match=r"pump-7"):
            tables.put(TABLE, KEY, b"second", ABSENT)
        assert tables.get_many(TABLE, [KEY])[KEY].value == b"first"

    def test_the_right_version_puts_and_the_wrong_one_changes_nothing(self, tables):
        old = tables.put(TABLE, KEY, b"one")
        new = tables.put(TABLE, KEY, b"two", old)
        for wrong in (old, "never-a-version"):
            with pytest.raises(Conflict):
                tables.put(TABLE, KEY, b"three", wrong)
        assert tables.get_many(TABLE, [KEY])[KEY] == (KEY, b"two", new)

    def test_a_version_is_refused_where_there_is_no_row(self, tables):
        version = tables.put(TABLE, KEY, b"elsewhere")
        with pytest.raises(Conflict):
            tables.put(TABLE, Key("default", "none"), b"x", version)
        assert tables.get_many(TABLE, [Key("default", "none")]) == {}

    def test_of_many_who_put_a_row_that_was_absent_one_wins(self, tables):
        puts = [partial(won, partial(tables.put, TABLE, KEY, b"%d" % number, ABSENT)) for number in range(8)]
        results = at_once(puts)
        assert results.count(True) == 1
        assert tables.get_many(TABLE, [KEY])[KEY].value == b"%d" % results.index(True)

    def test_of_many_who_replace_the_same_version_one_wins(self, tables):
        seen = tables.put(TABLE, KEY, b"seen")
        results = at_once([partial(won, partial(tables.put, TABLE, KEY, b"%d" % n, seen)) for n in range(8)])
        assert results.count(True) == 1
        assert tables.get_many(TABLE, [KEY])[KEY].value == b"%d" % results.index(True)

    def test_a_range_has_its_low_end_and_not_its_high_end(self, tables):
        for sort in "dbace":
            tables.put(TABLE, Key("default", sort), sort.encode())
        assert sorts(tables.query(TABLE, "default", "b", "d")) == ["b", "c"]
        assert sorts(tables.query(TABLE, "default", "b")) == ["b", "c", "d", "e"]
        assert sorts(tables.query(TABLE, "default", high="c")) == ["a", "b"]
        assert sorts(tables.query(TABLE, "default", "bb", "cc")) == ["c"]
        assert tables.query(TABLE, "default", "d", "b") == []
        assert tables.query(TABLE, "default", "b", "b") == []

    def test_a_range_can_be_read_from_its_end_and_cut_off(self, tables):
        for number in range(10):
            tables.put(TABLE, Key("default", f"{number}"), b"")
        assert sorts(tables.query(TABLE, "default", limit=3)) == ["0", "1", "2"]
        assert sorts(tables.query(TABLE, "default", limit=3, descending=True)) == ["9", "8", "7"]
        assert sorts(tables.query(TABLE, "default", "2", "6", limit=3, descending=True)) == ["5", "4", "3"]

    def test_a_query_answers_whole_rows(self, tables):
        version = tables.put(TABLE, KEY, b"\0value")
        assert tables.query(TABLE, KEY.partition) == [(KEY, b"\0value", version)]
        assert tables.query(TABLE, KEY.partition) == list(tables.get_many(TABLE, [KEY]).values())

    def test_sort_keys_are_ordered_as_bytes(self, tables):
        written = ["b", "B", "a", "10", "9", "a-", "aa", "a0", "_", "é", "z", "日本", "-", "0000000000001"]
        for sort in written:
            tables.put(TABLE, Key("default", sort), b"")
        assert sorts(tables.query(TABLE, "default")) == sorted(written, key=str.encode)

    def test_partitions_and_tables_know_nothing_of_each_other(self, tables):
        for partition in ("acme", "acme2", "acm", "ACME"):
            tables.put(TABLE, Key(partition, "s"), partition.encode())
        tables.put(OTHER, Key("acme", "t"), b"other")
        assert [row.value for row in tables.query(TABLE, "acme")] == [b"acme"]
        assert [row.value for row in tables.query(OTHER, "acme")] == [b"other"]

    def test_a_separator_between_the_keys_cannot_be_forged(self, tables):
        for key in (
            Key("a", "b/c"),
            Key("a/b", "c"),
            Key("a,b", "c"),
            Key("a", "b,c"),
            Key("a|b", "c"),
            Key("a", "b|c"),
        ):
            tables.put(TABLE, key, repr(key).encode(), ABSENT)
        assert sorts(tables.query(TABLE, "a")) == ["b,c", "b/c", "b|c"]

    @pytest.mark.parametrize("odd", ODD)
    def test_a_key_may_hold_any_character(self, tables, odd):
        tables.put(TABLE, Key(odd, odd), odd.encode())
        tables.put(TABLE, Key("other", "a"), b"")
        assert tables.get_many(TABLE, [Key(odd, odd)])[Key(odd, odd)].value == odd.encode()
        assert sorts(tables.query(TABLE, odd)) == [odd]
        assert sorts(tables.query(TABLE, odd, odd)) == [odd]
        assert tables.query(TABLE, odd, high=odd) == []

    def test_an_empty_value_is_a_value(self, tables):
        tables.put(TABLE, KEY, b"")
        assert tables.get_many(TABLE, [KEY])[KEY].value == b""
