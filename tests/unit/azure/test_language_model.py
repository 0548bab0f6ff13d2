"""A classic endpoint of Azure OpenAI is asked as it wants to be: the version in the query, the key in a header."""

import json

import pytest

from tests.unit.adapters.stand_ins import GOOD, StandIn, chat, error
from watchkeeper.errors import ConfigError
from watchkeeper.explaining.text import SCHEMA
from watchkeeper_azure.container import Container
from watchkeeper_azure.settings import read_settings

PATH = "/openai/deployments/small/chat/completions"


class ClassicEndpoint(StandIn):
    """It refuses another path, another version, and a key that comes as a token."""

    KEY = "only-for-this-test"

    def next_answer(self, seen):
        if seen.path != f"{PATH}?api-version=2024-10-21":
            return error(404, f"Resource not found: {seen.path}")
        if seen.headers.get("api-key") != self.KEY or "Authorization" in seen.headers:
            return error(401, "Access denied due to invalid subscription key")
        return super().next_answer(seen)


@pytest.fixture
def endpoint():
    server = ClassicEndpoint(chat(json.dumps(GOOD)))
    yield server
    server.close()


@pytest.fixture
def open_model(monkeypatch):
    """The model that an app of this environment asks."""
    monkeypatch.setattr(Container, "_secret", lambda _, name: {"model_key": ClassicEndpoint.KEY} if name else {})
    opened = []

    def make(url, version):
        told = {"MODEL_URL": url, "MODEL_NAME": "small", "MODEL_SECRET": "model", "MODEL_API_VERSION": version}
        told |= {"STORAGE": "https://wk.blob.example", "COSMOS": "https://wk.example", "EVENT_HUBS": "wk.example"}
        container = Container(read_settings({f"WATCHKEEPER_{name}": value for name, value in told.items()}))
        opened.append(container)
        return container.ports.language_model

    yield make
    for container in opened:
        container.close()


def test_the_version_of_the_environment_comes_to_the_endpoint(endpoint, open_model):
    with open_model(f"{endpoint.url}/openai", "2024-10-21") as model:
        assert json.loads(model.complete("system", "prompt", SCHEMA).text) == GOOD
    (seen,) = endpoint.seen
    assert seen.path == f"{PATH}?api-version=2024-10-21"


def test_an_address_may_name_its_deployment(endpoint, open_model):
    with open_model(f"{endpoint.url}/openai/deployments/small", "2024-10-21") as model:
        assert json.loads(model.complete("system", "prompt", SCHEMA).text) == GOOD


def test_the_newer_endpoint_takes_no_version(open_model):
    with pytest.raises(ConfigError, match="ends in /v1 takes no api_version"):
        open_model("http://127.0.0.1:1/openai/v1", "2024-10-21")
