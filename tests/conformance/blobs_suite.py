"""What every Blobs promises. An adapter inherits the class and supplies the fixture `blobs`: one without objects."""

from abc import ABC, abstractmethod
from functools import partial

import pytest

from tests.conformance.racing import at_once, won
from watchkeeper.errors import Conflict
from watchkeeper.outcome import ABSENT
from watchkeeper.ports import Blobs

KEY = "state/clean/iot-data-ingestion/00007"


class BlobsSuite(ABC):
    @pytest.fixture
    @abstractmethod
    def blobs(self) -> Blobs: ...

    @pytest.mark.parametrize(
        "data", [b"", bytes(range(256)), bytes(range(256)) * 1000], ids=["empty", "binary", "250 KB"]
    )
    def test_an_object_comes_back_with_the_version_its_put_answered(self, blobs, data):
        version = blobs.put(KEY, data)
        assert blobs.get_many([KEY]) == {KEY: (data, version)}

    def test_only_objects_that_are_there_come_back(self, blobs):
        blobs.put(KEY, b"x")
        assert list(blobs.get_many(["none", KEY])) == [KEY]
        assert list(blobs.versions(["none", KEY])) == [KEY]
        assert blobs.get_many([]) == blobs.versions([]) == {}

    def test_versions_are_those_of_the_objects(self, blobs):
        keys = [f"segments/{number}" for number in range(30)]
        put = {key: blobs.put(key, key.encode()) for key in keys}
        assert blobs.versions(keys) == put == {key: blob.version for key, blob in blobs.get_many(keys).items()}

    def test_every_write_changes_the_version_even_if_the_data_are_the_same(self, blobs):
        versions = [blobs.put(KEY, b"same") for _ in range(5)]
        assert len(set(versions)) == 5
        assert blobs.versions([KEY]) == {KEY: versions[-1]}

    def test_absent_puts_once(self, blobs):
        blobs.put(KEY, b"first", ABSENT)
        with pytest.raises(Conflict, match=r"state/clean"):
            blobs.put(KEY, b"second", ABSENT)
        assert blobs.get_many([KEY])[KEY].data == b"first"

    def test_the_right_version_puts_and_the_wrong_one_changes_nothing(self, blobs):
        old = blobs.put(KEY, b"one")
        new = blobs.put(KEY, b"two", old)
        for wrong in (old, "never-a-version"):
            with pytest.raises(Conflict):
                blobs.put(KEY, b"three", wrong)
        assert blobs.get_many([KEY])[KEY] == (b"two", new)

    def test_a_version_is_refused_where_there_is_no_object(self, blobs):
        version = blobs.put(KEY, b"x")
        blobs.delete([KEY])
        with pytest.raises(Conflict):
            blobs.put(KEY, b"y", version)
        assert blobs.get_many([KEY]) == {}

    def test_an_object_made_anew_is_not_taken_for_the_one_deleted(self, blobs):
        before = blobs.put(KEY, b"before")
        blobs.delete([KEY])
        blobs.put(KEY, b"after", ABSENT)
        with pytest.raises(Conflict):
            blobs.put(KEY, b"late", before)
        assert blobs.get_many([KEY])[KEY].data == b"after"

    def test_deleting_is_done_once_and_harmless_twice(self, blobs):
        for key in ("a", "b", "c"):
            blobs.put(key, b"")
        for _ in range(2):
            blobs.delete(["a", "c", "never there"])
        blobs.delete([])
        assert blobs.list("") == ["b"]
        assert blobs.versions(["a"]) == {}

    def test_of_many_who_put_an_object_that_was_absent_one_wins(self, blobs):
        results = at_once([partial(won, partial(blobs.put, KEY, b"%d" % number, ABSENT)) for number in range(8)])
        assert results.count(True) == 1
        assert blobs.get_many([KEY])[KEY].data == b"%d" % results.index(True)

    def test_counting_by_compare_and_swap_loses_no_count(self, blobs):
        blobs.put(KEY, b"0")

        def count() -> None:
            done = 0
            while done < 10:
                held = blobs.get_many([KEY])[KEY]
                done += won(partial(blobs.put, KEY, b"%d" % (int(held.data) + 1), held.version))

        at_once([count] * 4)
        assert blobs.get_many([KEY])[KEY].data == b"40"

    def test_a_listing_is_sorted_and_has_what_starts_so(self, blobs):
        for key in ("s/b", "s/a", "s/a/1", "s", "s/", "t/a", "S/a", "s/B", "s/10", "s/9"):
            blobs.put(key, b"")
        assert blobs.list("s/") == ["s/", "s/10", "s/9", "s/B", "s/a", "s/a/1", "s/b"]
        assert blobs.list("s/a") == ["s/a", "s/a/1"]
        assert blobs.list("none") == []

    @pytest.mark.parametrize(
        "prefix", ["a%", "a_", "a*", "a?", "a[", "a\\", "a'", "a ", "a+", "aé", "a日", "a😀", "a~"]
    )
    def test_no_character_of_a_prefix_is_a_wildcard(self, blobs, prefix):
        for key in (prefix, f"{prefix}x", "ax", "ab", "a", "axx", "b"):
            blobs.put(key, b"")
        assert blobs.list(prefix) == [prefix, f"{prefix}x"]
        blobs.delete([prefix])
        assert blobs.list(prefix) == [f"{prefix}x"]

    LONG = 1100  # more keys than come in one page, which clouds are asked to make short

    def test_a_listing_is_whole_however_long(self, blobs):
        keys = [f"segments/{number:05d}" for number in range(self.LONG)]
        for key in keys:
            blobs.put(key, b"")
        assert blobs.list("segments/") == keys
