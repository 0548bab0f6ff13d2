"""docs/detection.md says of a new model's way what the code does."""

import re
from pathlib import Path

import pytest

from watchkeeper.detection.config import DEFAULT
from watchkeeper.detection.drift import MUCH
from watchkeeper.shadow import judging, trial, verdict
from watchkeeper.shadow.counting import BINS, SLACK_MS
from watchkeeper_local.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
SECTION = re.sub(r"\s+", " ", (DOCS / "detection.md").read_text("utf-8").split("## A new model")[1].split("\n## ")[0])


@pytest.mark.parametrize(
    "said",
    [
        f"reviewed episodes of the last {({56: 'eight'})[trial.REVIEWED_MS // trial.DAY_MS]} weeks",
        f"the newest {trial.MOST_REVIEWED} of each verdict",
        f"up to {trial.MOST_LEAD:,} readings of the {({3: 'three'})[trial.LEAD_MS // trial.DAY_MS]} days before it",
        f"within {({600_000: 'ten minutes'})[SLACK_MS]}",
        f"the {({7: 'week'})[trial.RECENT_MS // trial.DAY_MS]} before it was learnt",
        f"more than {DEFAULT.target_a_week:g} for each device and week",
        f"one-sided sign test, {verdict.CHANCE:.0%}".replace("%", " %"),
        f"in {({20: 'twenty'})[BINS]} bins",
        f"the population stability index is above {MUCH:g}",
        f"those of {trial.MOST_DEVICES} devices at most",
        f"up to {trial.MOST_LATER:,} of each from after the candidate was learnt",
        f"up to {trial.MOST_BEFORE:,} right before them",
        f"{({1_000_000: 'a million'})[trial.MOST_READINGS]} in all",
        f"{({24.0: 'a day'})[Settings().shadow_hours]} of them, unless `shadow_hours` says otherwise",
        f"less than {judging.PART_MS // 1000} seconds left",
        f"If {({7: 'a week'})[judging.STALE_MS // trial.DAY_MS]} has not brought enough data",
        f"`{trial.trial_key('VERSION')}`",
    ],
)
def test_what_is_compared_is_said_in_the_numbers_of_the_code(said):
    assert said in SECTION
