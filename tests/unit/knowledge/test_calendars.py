"""Business calendars, held against the standard library asked moment by moment."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.errors import KnowledgeError
from watchkeeper.knowledge.calendars import DAYS, Calendar, offsets, read_calendar
from watchkeeper.knowledge.problems import Problems
from watchkeeper.knowledge.yaml_nodes import parse_yaml

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]


def calendar(text):
    problems = Problems()
    found = read_calendar(parse_yaml(text, problems.of("x.yaml")), problems.of("x.yaml"))
    problems.raise_if_any()
    return found


def covers(found, *times, zone="UTC"):
    """Whether local times such as `2026-11-27 08:00` (with an offset: exactly that moment) belong to a calendar."""
    moments = [datetime.fromisoformat(time) for time in times]
    of = ZoneInfo(found.time_zone or zone)
    ts = [round((m if m.tzinfo else m.replace(tzinfo=of)).timestamp() * 1000) for m in moments]
    return found.covers(np.array(ts, np.int64), zone).tolist()


def test_days_hours_and_holidays():
    found = calendar("{days: mon-fri, hours: 08:00-18:00, holidays: [2026-12-25], time_zone: Europe/Berlin}")
    times = ["2026-11-27 07:59", "2026-11-27 08:00", "2026-11-27 17:59", "2026-11-27 18:00", "2026-11-28 12:00"]
    assert covers(found, *times) == [False, True, True, False, False]
    assert covers(found, "2026-12-24 12:00", "2026-12-25 12:00") == [True, False]


def test_a_shift_past_midnight_belongs_to_the_day_on_which_it_began():
    found = calendar("{days: fri, hours: 22:00-06:00}")
    times = ["2026-11-27 05:00", "2026-11-27 22:00", "2026-11-28 05:59", "2026-11-28 06:00", "2026-11-28 23:00"]
    assert covers(found, *times) == [False, True, True, False, False]


def test_lists_ranges_and_dates():
    found = calendar("{days: [sat-mon, wed], hours: [06:00-10:00, 16:00-24:00], dates: [2026-11-01..2026-11-30]}")
    assert found.days == (0, 2, 5, 6)
    times = ["2026-11-25 06:30", "2026-11-25 12:00", "2026-11-25 23:59", "2026-11-24 07:00", "2026-12-02 07:00"]
    assert covers(found, *times) == [True, False, True, False, False]


def test_without_a_zone_of_its_own_the_devices_counts():
    found = calendar("{hours: 08:00-09:00}")
    assert covers(found, "2026-07-01 08:30+02:00", zone="Europe/Berlin") == [True]
    assert covers(found, "2026-07-01 08:30+02:00", zone="UTC") == [False]


def test_clocks_that_are_turned():
    found = calendar("{hours: 02:00-03:00, time_zone: Europe/Berlin}")
    spring = ["2026-03-29 00:59:59+00:00", "2026-03-29 01:00+00:00", "2026-03-29 02:00+00:00"]
    assert covers(found, *spring) == [False, False, False]  # there is no 2 o'clock
    autumn = ["2026-10-25 00:30+00:00", "2026-10-25 01:30+00:00", "2026-10-25 02:00+00:00"]
    assert covers(found, *autumn) == [True, True, False]  # there are two


@given(
    st.lists(st.datetimes(datetime(1975, 1, 1), datetime(2100, 1, 1)), min_size=1, max_size=20),  # noqa: DTZ001 - UTC is added
    st.sampled_from(ZONES),
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 1439),
    st.integers(1, 1440),
)
def test_columns_say_what_the_standard_library_says_of_each_moment(moments, zone, days, begin, end):
    ts = np.array([round(moment.replace(tzinfo=UTC).timestamp() * 1000) for moment in moments], np.int64)
    local = [datetime.fromtimestamp(t / 1000, UTC).astimezone(ZoneInfo(zone)) for t in ts.tolist()]
    assert offsets(ts, zone).tolist() == [round(m.utcoffset().total_seconds() * 1000) for m in local]
    found = Calendar(days=tuple(sorted(days)), hours=((begin, end),))

    def inside(moment):
        minute = moment.hour * 60 + moment.minute
        if begin < end:
            return begin <= minute < end and moment.weekday() in days
        yesterday = (moment.date() - timedelta(days=1)).weekday()
        return (minute >= begin and moment.weekday() in days) or (minute < end and yesterday in days)

    assert found.covers(ts, zone).tolist() == [inside(moment) for moment in local]


def test_moments_of_any_age_have_an_answer():
    ts = np.array([-(2**62), 0, 2**62], np.int64)
    assert len(Calendar(holidays=(0,)).covers(ts, "Asia/Tokyo")) == 3


MISTAKES = {
    "{days: mon-fry}": "1:8: not a weekday: 'fry' (did you mean 'fri'?)",
    "{days: monday}": "1:8: not a weekday: 'monday' (did you mean 'mon'?)",
    "{days: 5}": "1:8: not a weekday: the number 5 "
    "(one of mon, tue, wed, thu, fri, sat, sun, or a range such as mon-fri)",
    "{hours: 8-18}": "1:9: hours are written as 08:00-18:00, not the text '8-18'",
    "{hours: 08:00-25:00}": "1:9: hours are written as 08:00-18:00, not the text '08:00-25:00'",
    "{hours: [08:00-08:00]}": "1:10: hours that begin and end at the same time: the text '08:00-08:00'",
    "{holidays: [25.12.2026]}": "1:13: each of 'holidays' must be a date such as 2026-12-25 or 2026-12-24..2027-01-01, "
    "not the text '25.12.2026'",
    "{dates: 2026-12-25..2026-12-24}": "1:9: each of 'dates' must be a date such as 2026-12-25 or "
    "2026-12-24..2027-01-01, not the text '2026-12-25..2026-12-24'",
    "{dates: 0001-01-01..9999-01-01}": "1:9: each of 'dates' must be a date such as 2026-12-25 or "
    "2026-12-24..2027-01-01, not the text '0001-01-01..9999-01-01'",
    "{time_zone: Europe/Berln}": "1:13: unknown time zone 'Europe/Berln' (did you mean 'Europe/Berlin'?)",
    "{time_zone: ../etc}": "1:13: unknown time zone '../etc' (write it as Europe/Berlin)",
    "{time_zone: Europe}": "1:13: unknown time zone 'Europe' (did you mean 'Europe/Rome'?)",
    "{day: mon}": "1:2: unknown key 'day' (did you mean 'days'?)",
    "{}": "1:1: a calendar needs at least one of days, hours, dates, holidays, time_zone",
    "mon": "1:1: this must be a mapping, not the text 'mon'",
}


@pytest.mark.parametrize(("text", "mistake"), MISTAKES.items())
def test_a_mistake_in_a_calendar_is_told_with_its_place(text, mistake):
    with pytest.raises(KnowledgeError) as caught:
        calendar(text)
    assert f"x.yaml:{mistake}" in str(caught.value).split("\n")


def test_an_empty_calendar_is_always():
    assert Calendar().covers(np.arange(0, 10**9, 10**7)).all()
    assert len(DAYS) == len(Calendar().days)
    assert calendar("{dates: 1970-01-02}").dates == ((date(1970, 1, 2) - date(1970, 1, 1)).days,)
