"""The suites are classes that adapters inherit; their assertions are explained as those of tests are."""

import pytest

pytest.register_assert_rewrite(
    "tests.conformance.blobs_suite",
    "tests.conformance.meter_suite",
    "tests.conformance.stream_suite",
    "tests.conformance.tables_suite",
    "tests.conformance.transaction_suite",
)
