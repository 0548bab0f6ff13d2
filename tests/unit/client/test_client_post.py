"""What the headers and bodies of answers mean."""

from watchkeeper_client.post import Answer, _seconds


def test_retry_after_is_a_number_or_a_date_and_has_a_bound():
    assert _seconds("7") == 7
    assert _seconds("999999") == 3_600
    assert (_seconds(None), _seconds("soon"), _seconds("nan"), _seconds("-1")) == (None, None, None, None)
    assert _seconds("Wed, 21 Oct 2115 07:28:00 GMT") == 3_600


def test_an_answer_without_counts_rejects_nothing():
    assert [Answer(202, text).rejected for text in ("", "[]", "{}", '{"rejected": [1], "shed": 2}')] == [
        (0, "")
    ] * 2 + [
        (0, "no room for them"),
        (0, ""),
    ]
