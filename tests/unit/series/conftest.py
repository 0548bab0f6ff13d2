"""Small merges: what happens after a month in production happens here after a few hundred readings."""

import pytest

from watchkeeper.series import merging, reader


@pytest.fixture
def small_merges(monkeypatch):
    monkeypatch.setattr(merging, "FAN_IN", 3)
    monkeypatch.setattr(merging, "DIVIDE_ROWS", 12)
    monkeypatch.setattr(merging, "FULL_ROWS", 40)
    monkeypatch.setattr(merging, "PAGE", 2)
    monkeypatch.setattr(merging, "_ROWS_AT_ONCE", 20)
    monkeypatch.setattr(reader, "_ROWS_AT_ONCE", 30)
