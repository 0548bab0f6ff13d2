"""One `watchkeeper up` for all the examples of the README, on free ports."""

import pytest

from tests.e2e.conftest import Up


@pytest.fixture(scope="session")
def running(tmp_path_factory):
    """It is started once; what examples have sent stays in it."""
    runtime = Up(tmp_path_factory.mktemp("readme") / "wk")
    yield runtime.start()
    runtime.close()
