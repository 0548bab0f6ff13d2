"""How hard hypothesis tries: enough for every commit (`ci`), more while working on something (`dev`).

`HYPOTHESIS_PROFILE=dev pytest …` chooses. Time limits per example are off: two cores are shared by all tests.
"""

import os

from hypothesis import HealthCheck, settings

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
