"""Secrets of Key Vault, over HTTPS and its challenge.

One thing is switched off that holds in production: that the vault's own name ends in the name that it asks tokens for.
"""

import pytest
from azure.keyvault.secrets import SecretClient

from tests.emulators.vault import RESOURCE, Identity, vault
from watchkeeper.errors import ConfigError, Unavailable
from watchkeeper_azure.secret_store import SecretStore
from watchkeeper_azure.services import VAULT_OPTIONS


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def identity():
    return Identity()


@pytest.fixture
def secrets(tmp_path):
    with vault(tmp_path) as served:
        yield served


@pytest.fixture
def open_store(secrets, identity):
    options = dict(VAULT_OPTIONS) | {"retry_backoff_factor": 0.001, "retry_backoff_max": 0.01}
    options |= {"connection_verify": secrets.authority, "verify_challenge_resource": False}
    clients = []

    def make(**more):
        clients.append(SecretClient(secrets.url, identity, **options))
        return SecretStore(clients[-1], **more)

    yield make
    for client in clients:
        client.close()


def test_a_secret_is_read_once_in_a_while_and_stays_in_use_while_the_vault_is_away(secrets, open_store, identity):
    clock = Clock()
    store = open_store(kept_s=60, clock=clock)
    secrets.secrets["receivers"] = '{"receivers": "teams=https://one"}'
    assert store.fields("receivers") == {"receivers": "teams=https://one"}
    secrets.secrets["receivers"] = '{"receivers": "teams=https://two"}'
    assert store.fields("receivers") == {"receivers": "teams=https://one"}
    assert len(secrets.asked) == 1
    clock.now = 61
    secrets.down.append(503)
    assert store.fields("receivers") == {"receivers": "teams=https://one"}
    secrets.down.clear()
    assert store.fields("receivers") == {"receivers": "teams=https://two"}
    assert set(identity.scopes) == {f"{RESOURCE}/.default"}


@pytest.mark.parametrize("status", [403, 429, 503])
def test_a_secret_that_was_never_read_is_waited_for(secrets, open_store, status):
    secrets.down.append(status)
    with pytest.raises(Unavailable, match=f"secret other: {status}"):
        open_store().text("other")


def test_a_secret_that_is_not_there_is_waited_for(open_store):
    with pytest.raises(Unavailable, match=r"secret other: 404: .*no secret other"):
        open_store().text("other")


def test_a_secret_that_is_no_object_says_so_without_saying_it(secrets, open_store):
    secrets.secrets["plain"] = "hunter2"
    with pytest.raises(ConfigError, match="secret plain: a JSON object") as raised:
        open_store().fields("plain")
    assert "hunter2" not in str(raised.value)
