"""`watchkeeper work`: what is refused before anything runs."""

import pytest

from watchkeeper.errors import ConfigError
from watchkeeper.memory import MemoryBlobs
from watchkeeper_local.cli import main
from watchkeeper_local.kafka_work import Layout, connection_of, keep_layout, open_stores
from watchkeeper_local.settings import Settings


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["work"], "name the brokers with --kafka HOST:PORT"),
        (["up", "--kafka", "127.0.0.1:9092"], "`watchkeeper work` runs the stages against --kafka"),
        (["work", "--kafka", "b:9092", "--kafka-user", "wk"], "kafka_user and kafka_password go together"),
        (["work", "--kafka", "b:9092", "--workers", "0"], "--workers"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(arguments, said, capsys):
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "security"),
    [
        (Settings(kafka="b:9092"), "plaintext"),
        (Settings(kafka="b:9094", kafka_tls=True), "tls"),
        (Settings(kafka="b:9094", kafka_ca="ca.pem"), "tls"),
        (Settings(kafka="b:9096", kafka_user="wk", kafka_password="s"), "scram"),
    ],
)
def test_how_the_cluster_is_reached_follows_from_what_is_given(settings, security):
    connection = connection_of(settings)
    assert (connection.security, connection.brokers) == (security, settings.kafka)
    assert connection.options()["bootstrap.servers"] == settings.kafka


def test_the_layout_never_changes_silently():
    blobs = MemoryBlobs()
    keep_layout(blobs, Layout(8, 4))
    keep_layout(blobs, Layout(8, 4))
    with pytest.raises(ConfigError, match="made with 8 shards and 4 partitions; 8 and 8 were given"):
        keep_layout(blobs, Layout(8, 8))


@pytest.mark.parametrize(
    ("stores", "says"), [("aws:", "write aws:BUCKET"), ("aws:b", "set AWS_REGION"), ("postgres:x", "there are aws")]
)
def test_stores_that_cannot_be_opened_are_said(stores, says, monkeypatch):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match=says):
        open_stores(Settings(stores=stores))


def test_without_stores_of_their_own_workers_use_the_data_folder(tmp_path):
    stores = open_stores(Settings(data_dir=str(tmp_path)))
    stores.blobs.put("a", b"x")
    assert open_stores(Settings(data_dir=str(tmp_path))).blobs.list("") == ["a"]
