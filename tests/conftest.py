"""How hard hypothesis tries: enough for every commit (`ci`), more while working on something (`dev`).

`HYPOTHESIS_PROFILE=dev pytest …` chooses. Time limits per example are off: two cores are shared by all tests. Coverage
is what tests of single parts reach: those of the whole would add nothing, and take twice as long under it.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

COVERING = {"unit", "conformance"}
pytest_plugins = ["tests.emulators.fixtures"]
settings.register_profile(
    "ci",
    max_examples=100,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "dev", max_examples=300, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_modifyitems(items):
    """No coverage of what the tests of the whole run."""
    root = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(root) and item.path.relative_to(root).parts[0] not in COVERING:
            item.add_marker(pytest.mark.no_cover)
