"""A state that version 1 has stored goes on: what has a successor is carried over, and nothing alerts for it."""

import numpy as np
import pytest

from tests.unit.core.golden_samples import FOLDER
from watchkeeper.detection.scorer import score
from watchkeeper.detection.series import INDEX, from_bfloat
from watchkeeper.detection.state import DetectorState

TS = 1_772_352_000_000
NAME = "acme\0pump-1"


@pytest.fixture
def state() -> DetectorState:
    return DetectorState.decode((FOLDER / "state-ml_score-v1.bin").read_bytes())


def field(state: DetectorState, metric: str, name: str) -> float:
    return float(state.series["fields"][state.slots[0][metric], INDEX[name]])


def test_readings_levels_clock_and_profile_are_carried_over(state: DetectorState) -> None:
    assert list(state.rows) == [NAME]
    assert state.devices["last_ts"][0] == TS + 119_000
    assert state.devices["readings"][0] > 0
    slot = state.slots[0]["flow"]
    assert field(state, "flow", "n") == 120
    assert state.series["anchor"][slot] == 100.0 + 119 % 7
    assert state.series["anchor"][slot] + field(state, "flow", "slow") == pytest.approx(103, abs=0.5)
    assert field(state, "flow", "spread") > 0.5
    assert 0 < state.series["counted"][slot] <= 120
    assert np.isfinite(from_bfloat(state.series["profile"][slot])).sum() <= 1


def test_it_is_stored_in_todays_format_and_scores_on_without_an_alert(state: DetectorState) -> None:
    again = DetectorState.decode(state.encode())
    values = np.array([[100.0 + i % 7, 2.0 + i % 3] for i in range(120, 520)])
    ts = TS + 1000 * np.arange(120, 520)
    got = score(again, [NAME], np.zeros(400, np.int64), ts, ("flow", "vibration"), values)
    assert not got.edges
    assert not got.warming[100:].any()
