"""What every Meter promises. An adapter inherits the class and supplies the fixture `meter`: nothing counted yet."""

from abc import ABC, abstractmethod
from functools import partial

import pytest

from tests.conformance.racing import at_once
from watchkeeper.ports import Meter


class MeterSuite(ABC):
    @pytest.fixture
    @abstractmethod
    def meter(self) -> Meter: ...

    def test_nothing_counted_is_nothing(self, meter):
        assert meter.total("0000-01-01", "9999-12-31") == {}
        meter.add("2026-01-31", "clean", {})
        assert meter.total("2026-01-31", "2026-01-31").get("clean", {}) == {}

    def test_amounts_add_up_by_stage_and_name(self, meter):
        meter.add("2026-01-31", "clean", {"accepted": 3, "dead": 1})
        meter.add("2026-01-31", "clean", {"accepted": 4, "usd": 0.25})
        meter.add("2026-01-31", "store", {"accepted": 5})
        assert meter.total("2026-01-31", "2026-01-31") == {
            "clean": {"accepted": 7, "dead": 1, "usd": 0.25},
            "store": {"accepted": 5},
        }

    def test_a_total_has_its_first_and_its_last_day(self, meter):
        for day, amount in (("2025-12-31", 1), ("2026-01-01", 10), ("2026-01-31", 100), ("2026-02-01", 1000)):
            meter.add(day, "clean", {"accepted": amount})
        assert meter.total("2026-01-01", "2026-01-31") == {"clean": {"accepted": 110}}
        assert meter.total("2026-02-01", "2026-01-01") == {}

    def test_an_amount_may_be_taken_back(self, meter):
        meter.add("2026-01-31", "clean", {"usd": 2.5})
        meter.add("2026-01-31", "clean", {"usd": -1.0})
        assert meter.total("2026-01-31", "2026-01-31") == {"clean": {"usd": 1.5}}

    def test_counting_at_once_loses_nothing(self, meter):
        def count(stage: str) -> None:
            for _ in range(25):
                meter.add("2026-01-31", stage, {"accepted": 1, "bytes_in": 2})

        at_once([partial(count, stage) for stage in ("clean", "clean", "store", "clean")])
        assert meter.total("2026-01-31", "2026-01-31") == {
            "clean": {"accepted": 75, "bytes_in": 150},
            "store": {"accepted": 25, "bytes_in": 50},
        }
