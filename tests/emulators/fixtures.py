"""The servers as fixtures of a test session; where one cannot be had, the tests that ask for it are skipped."""

import pytest

from tests.emulators.aws import CREDENTIALS
from tests.emulators.servers import NotToBeHadError, ministack, noida, tansu


def _served(start, folder):
    try:
        with start(folder) as server:
            yield server
    except NotToBeHadError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def aws_server(tmp_path_factory):
    yield from _served(ministack, tmp_path_factory.mktemp("aws"))


@pytest.fixture
def aws(aws_server, monkeypatch):
    """The emulated AWS, with credentials of nobody."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return aws_server


@pytest.fixture
def no_pauses(monkeypatch):
    """boto3 tries again at once, not after seconds."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory):
    yield from _served(noida, tmp_path_factory.mktemp("kafka"))


@pytest.fixture(scope="session")
def group_server(tmp_path_factory):
    yield from _served(tansu, tmp_path_factory.mktemp("tansu"))
