"""How hard hypothesis tries: enough for every commit (`ci`), more while working on something (`dev`).

`HYPOTHESIS_PROFILE=dev pytest …` chooses. Time limits per example are off: two cores are shared by all tests. Coverage
is what tests of single parts reach: those of the whole would add nothing, and take twice as long under it. Nor would
long runs of one part, marked `no_cover`, whose code other tests reach. What takes longest comes first, so that no
worker has it left when the others have done.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

COVERING = {"unit", "conformance"}
DEAR = (
    "simulator/test_simulator.py",
    "infra/test_azure_graph.py",
    "deployed",
    "unit/reprocessing",
    "infra/test_graph.py",
    "e2e",
    "simulator",
    "lambdas",
    "azure_functions",
    "conformance",
    "unit/detection",
)
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
    """No coverage of what the tests of the whole run; and the dear ones first."""
    root = Path(__file__).parent
    files, places = {}, {}
    for path in {item.path for item in items}:
        files[path] = path.relative_to(root) if path.is_relative_to(root) else Path()
        places[path] = next((n for n, dear in enumerate(DEAR) if files[path].is_relative_to(dear)), len(DEAR))
    for item in items:
        if (parts := files[item.path].parts) and parts[0] not in COVERING:
            item.add_marker(pytest.mark.no_cover)
    items.sort(key=lambda item: places[item.path])
