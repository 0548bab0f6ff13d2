"""Durations: what people may write, and what they get back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.errors import KnowledgeError
from watchkeeper.knowledge.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("250ms", 250),
        ("30s", 30_000),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("1d", 86_400_000),
        ("1.5h", 5_400_000),
        ("0s", 0),
        (" 10 s ", 10_000),
    ],
)
def test_a_number_and_a_unit_are_milliseconds(text, ms):
    assert parse_duration(text) == ms


@pytest.mark.parametrize("text", ["", "30", "s", "-5s", "1h30m", "5 parsecs", "1e3s", "٣s", "nan s", "9" * 40 + "d"])
def test_anything_else_is_refused_with_an_example(text):
    with pytest.raises(KnowledgeError, match="such as 30s"):
        parse_duration(text)


@given(st.integers(0, 10**12))
def test_what_is_formatted_parses_to_the_same_duration(ms):
    assert parse_duration(format_duration(ms)) == ms


def test_the_largest_exact_unit_is_written():
    assert [format_duration(ms) for ms in (0, 1_500, 60_000, 90_000, 86_400_000)] == ["0s", "1500ms", "1m", "90s", "1d"]
