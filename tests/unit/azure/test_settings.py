"""A wrong setting is told by its name, with what is allowed; a service that is not named is missed when it is asked."""

import pytest

from watchkeeper.errors import ConfigError
from watchkeeper_azure.services import Services
from watchkeeper_azure.settings import Settings, read_settings


def test_settings_are_read_by_their_names():
    told = {
        "WATCHKEEPER_EVENT_HUBS": "wk.servicebus.windows.net",
        "WATCHKEEPER_SHARDS": "32",
        "WATCHKEEPER_BUDGET": "12.5",
        "AZURE_CLIENT_ID": "an-id",
        "WATCHKEEPER_STAGE": "",
    }
    settings = read_settings(told)
    assert (settings.event_hubs, settings.shards, settings.budget) == ("wk.servicebus.windows.net", 32, 12.5)
    assert (settings.client_id, settings.stage, settings.cosmos_database) == ("an-id", "", "watchkeeper")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("SHARDS", "many", "WATCHKEEPER_SHARDS does not fit: Expected `int`"),
        ("SHARDS", "0", "WATCHKEEPER_SHARDS: 1 or more"),
        ("PARTITIONS", "33", "WATCHKEEPER_PARTITIONS: 1 to 32"),
        ("COSMOS", "wk.documents.azure.com", "WATCHKEEPER_COSMOS: an address that begins with https://"),
        ("KEY_VAULT", "http://wk.vault.azure.net", "WATCHKEEPER_KEY_VAULT: an address"),
        ("EVENT_HUBS", "https://wk.servicebus.windows.net", "WATCHKEEPER_EVENT_HUBS: a name"),
        ("MODEL_LOGIN", "password", "WATCHKEEPER_MODEL_LOGIN does not fit: Invalid enum value 'password'"),
        ("MODEL_LOGIN", "identity", "WATCHKEEPER_MODEL_LOGIN is identity, so WATCHKEEPER_MODEL_URL has to begin"),
        ("EVENT_HUBS_TIMEOUT_S", "0", "WATCHKEEPER_EVENT_HUBS_TIMEOUT_S: more than 0"),
    ],
)
def test_a_setting_that_does_not_fit_says_which_and_what_would(name, value, says):
    with pytest.raises(ConfigError, match=says):
        read_settings({f"WATCHKEEPER_{name}": value})


def test_a_model_is_asked_by_a_key_or_by_an_identity():
    told = {"WATCHKEEPER_MODEL_LOGIN": "identity", "WATCHKEEPER_MODEL_URL": "https://m.openai.azure.com/openai/v1"}
    assert read_settings(told).model_login == "identity"
    with pytest.raises(ConfigError, match="MODEL_LOGIN is identity, so WATCHKEEPER_MODEL_SECRET must not be set"):
        read_settings(told | {"WATCHKEEPER_MODEL_SECRET": "model"})


def test_a_service_has_one_address():
    with pytest.raises(ConfigError, match="only one of them"):
        read_settings({"WATCHKEEPER_STORAGE": "https://x", "WATCHKEEPER_STORAGE_CONNECTION": "AccountKey=hidden"})


@pytest.mark.parametrize(
    ("service", "name"),
    [("blob_container", "STORAGE"), ("cosmos", "COSMOS"), ("event_hubs", "EVENT_HUBS"), ("vault", "KEY_VAULT")],
)
def test_a_service_that_is_not_named_is_missed(service, name):
    with pytest.raises(ConfigError, match=f"WATCHKEEPER_{name} is not set"):
        getattr(Services(Settings()), service)
