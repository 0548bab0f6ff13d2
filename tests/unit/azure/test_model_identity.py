"""Azure OpenAI is asked as the app itself: by tokens for it, which are made anew before they end, and without a key."""

import json
import time

import pytest
from azure.core.credentials import AccessToken
from azure.identity import CredentialUnavailableError

from tests.unit.adapters.stand_ins import GOOD, StandIn, chat, error
from watchkeeper.errors import ModelError, Unavailable
from watchkeeper.explaining.text import SCHEMA
from watchkeeper_azure.container import Container
from watchkeeper_azure.settings import read_settings

SCOPE = "https://cognitiveservices.azure.com/.default"
NEW, CLASSIC = "/openai/v1", "/openai"
PATHS = {
    NEW: "/openai/v1/chat/completions",
    CLASSIC: "/openai/deployments/small/chat/completions?api-version=2024-10-21",
}


class TakesTokens(StandIn):
    """It refuses keys, and tokens that it does not know: those in `good` it does."""

    def __init__(self):
        super().__init__(chat(json.dumps(GOOD)))
        self.good = {f"1 for {SCOPE}"}

    def next_answer(self, seen):
        if seen.path not in PATHS.values():
            return error(404, f"Resource not found: {seen.path}")
        scheme, _, token = seen.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self.good or "api-key" in seen.headers:
            return error(401, f"Access denied due to an invalid token {token}")
        return super().next_answer(seen)


class Identity:
    """Tokens with numbers, each of which lives for so many seconds."""

    def __init__(self):
        self.asked, self.lives_s, self.away, self.scope = [], 3600, False, ""

    def get_token(self, *scopes, **_more):
        self.asked += scopes
        if self.away:
            raise CredentialUnavailableError(message="no managed identity endpoint answers")
        return AccessToken(f"{len(self.asked)} for {self.scope or scopes[0]}", int(time.time()) + self.lives_s)

    def close(self):
        """Nothing is held."""


@pytest.fixture
def endpoint():
    server = TakesTokens()
    yield server
    server.close()


@pytest.fixture
def identity():
    return Identity()


@pytest.fixture(params=[NEW, CLASSIC])
def model(request, endpoint, identity, monkeypatch):
    """What an app of this environment asks; keys in the environment are nobody's business here."""
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "of somebody else")
    monkeypatch.setenv("OPENAI_API_KEY", "of somebody else")
    told = {"MODEL_URL": endpoint.url + request.param, "MODEL_NAME": "small", "MODEL_LOGIN": "identity"}
    told |= {"MODEL_API_VERSION": "2024-10-21"} if request.param == CLASSIC else {}
    told |= {"STORAGE": "https://wk.blob.example", "COSMOS": "https://wk.example", "EVENT_HUBS": "wk.example"}
    container = Container(read_settings({f"WATCHKEEPER_{name}": value for name, value in told.items()}))
    container._services.__dict__["credential"] = identity
    with container.ports.language_model as model:
        yield model
    container.close()


def ask(model, prompt):
    return json.loads(model.complete("system", prompt, SCHEMA).text)


def test_a_token_for_the_service_is_the_bearers_and_serves_for_several_questions(model, endpoint, identity):
    assert [ask(model, prompt) for prompt in ("one", "two")] == [GOOD, GOOD]
    assert identity.asked == [SCOPE]
    assert {seen.headers["Authorization"] for seen in endpoint.seen} == {f"Bearer 1 for {SCOPE}"}


def test_a_token_that_ends_soon_is_made_anew(model, endpoint, identity):
    identity.lives_s = 60  # within the time in which the library makes another one
    ask(model, "one")
    endpoint.good = {f"2 for {SCOPE}"}
    assert ask(model, "two") == GOOD
    assert identity.asked == [SCOPE] * 2


def test_a_token_for_another_service_is_refused_and_not_repeated_in_what_is_said(model, endpoint, identity):
    identity.scope = "https://vault.azure.net/.default"
    with pytest.raises(ModelError, match="401: Access denied") as refused:
        ask(model, "one")
    assert "vault" not in str(refused.value)
    assert len(endpoint.seen) == 1


def test_while_there_is_no_token_the_model_is_away_and_nothing_is_asked(model, endpoint, identity):
    identity.away = True
    with pytest.raises(Unavailable, match="a token for the language model: no managed identity endpoint"):
        ask(model, "one")
    assert endpoint.seen == []
    identity.away, endpoint.good = False, {f"2 for {SCOPE}"}
    assert ask(model, "one") == GOOD
