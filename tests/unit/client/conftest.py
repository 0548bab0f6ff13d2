"""A server and clients of it, whose buffers are in the test's own folder."""

import pytest

from tests.unit.client.servers import Server
from watchkeeper_client import Client, engine


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


@pytest.fixture
def make_client(tmp_path, monkeypatch):
    """Makes clients that cut only when told to, and that do not wait long to try again."""
    monkeypatch.setattr(engine, "FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(engine, "LONGEST_WAIT_S", 0.1)
    made = []

    def make(url, **options):
        made.append(Client(url, **{"device": "checkout", "interval": 60, "buffer": tmp_path / "buffer"} | options))
        return made[-1]

    yield make
    for client in made:
        client.close(0.5)


@pytest.fixture
def client(server, make_client):
    return make_client(server.url)
