"""What would have differed with another model: openings by day, and whose they are alone; nothing is written."""

import pytest

from tests.unit.shadow.support import AFTER, BEFORE, FAULT, HOUR, MINUTE, NOW, SHARDS, Fleet, garbage, sound
from watchkeeper.shadow import differing
from watchkeeper.shadow.differing import Alone, Day, what_differs
from watchkeeper.shadow.rescoring import Rescored, rescore

START, END = NOW - 70 * MINUTE, NOW + HOUR


@pytest.fixture
def fleet():
    return Fleet()


def differs(fleet, one, other, start=START, **options):
    return what_differs(fleet.ports.blobs, SHARDS, fleet.bundle, one, other, start, END, **options)


def test_equal_models_differ_in_nothing_and_readings_are_told_by_day(fleet):
    before = {key: fleet.ports.blobs.versions([key]) for key in fleet.ports.blobs.list("")}
    done = []
    found = differs(fleet, sound("m-1"), sound("m-2"), progress=done.append)
    assert (found.devices, found.only_one, found.only_other) == (3, [], [])
    assert sum(day.readings for day in found.days) == 3 * (AFTER + 71)
    assert [day.day for day in found.days] == ["2026-09-21"]
    assert sum(day.one for day in found.days) == sum(day.other for day in found.days) >= 1
    assert done == [3]
    assert {key: fleet.ports.blobs.versions([key]) for key in fleet.ports.blobs.list("")} == before


def test_what_one_alone_opens_is_named(fleet, monkeypatch):
    def blind(histories, bundle, model, classes):
        found = rescore(histories, bundle, model, classes)
        return [Rescored(each.score, each.anomalous & (model.version != "m-2"), each.warming) for each in found]

    monkeypatch.setattr(differing, "rescore", blind)
    found = differs(fleet, garbage("m-1"), garbage("m-2"))
    flipped = differs(fleet, garbage("m-2"), garbage("m-1"))
    (day,) = found.days
    assert day.only_one == day.one == len(found.only_one) > 0 == day.other == day.only_other
    assert found.only_other == []
    assert flipped.only_other == found.only_one
    assert flipped.days == [Day(day.day, day.readings, 0, day.one, 0, day.one)]
    first = found.only_one[0]
    assert (first.tenant, first.device) == ("default", "d0")
    assert 0 <= first.ts - (NOW + (FAULT - BEFORE + 1) * MINUTE) < 12 * MINUTE
    assert isinstance(first, Alone)


def test_what_came_before_is_learnt_from_and_not_counted(fleet):
    found = differs(fleet, sound("m-1"), None, start=NOW + 1)
    (day,) = found.days
    assert (day.readings, day.one, day.other) == (3 * (AFTER), 0, 0)


def test_where_nothing_is_stored_there_is_nothing_to_tell(fleet):
    assert differs(fleet, sound("m-1"), None, start=NOW + HOUR).days == []
