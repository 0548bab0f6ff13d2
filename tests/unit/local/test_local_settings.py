"""Settings: flags before environment before file before default; what is wrong is said with a suggestion."""

import pytest

from watchkeeper.errors import ConfigError
from watchkeeper_local.settings import Settings, read_settings


def test_flags_come_before_the_environment_and_that_before_the_file(tmp_path):
    file = tmp_path / "wk.toml"
    file.write_text('workers = 2\nhttp_port = 9000\ndata_dir = "from-file"\n')
    environment = {"WATCHKEEPER_CONFIG": str(file), "WATCHKEEPER_HTTP_PORT": "9001", "WATCHKEEPER_WORKERS": "3"}
    settings = read_settings({"workers": 4, "http_port": None}, environment)
    assert (settings.workers, settings.http_port, settings.data_dir) == (4, 9001, "from-file")


def test_without_anything_the_defaults_hold_and_listen_on_loopback_only():
    assert read_settings({}, {}) == Settings()
    assert Settings().host == "127.0.0.1"


def test_lists_are_written_with_commas_in_the_environment_and_as_lists_in_the_file(tmp_path):
    (tmp_path / "wk.toml").write_text('receivers = ["console", "file=/tmp/a"]\n')
    assert read_settings({}, {}, str(tmp_path / "wk.toml")).receivers == ("console", "file=/tmp/a")
    assert read_settings({}, {"WATCHKEEPER_RECEIVERS": "console, file=/tmp/b"}).receivers == ("console", "file=/tmp/b")


@pytest.mark.parametrize(
    ("environment", "text", "said"),
    [
        ({"WATCHKEEPER_HTP_PORT": "1"}, "", "did you mean WATCHKEEPER_HTTP_PORT"),
        ({}, "workerz = 1", "did you mean workers"),
        ({}, "nonsense = 1", "known are"),
        ({}, "workers = ", "settings file"),
        ({}, "workers = 0", "workers"),
        ({}, "http_port = 70000", "http_port"),
        ({"WATCHKEEPER_MQTT_PORT": "many"}, "", "WATCHKEEPER_MQTT_PORT: 'many' does not fit"),
        ({}, 'log_level = "loud"', "loud"),
        ({}, "partitions = 32", "partitions 32 is more than shards 4"),
        ({}, 'host = "0.0.0.0"', "api_keys"),
        ({}, 'host = "plant.example"', "mqtt_password"),
        ({}, 'mqtt_user = "u"', "mqtt_user and mqtt_password go together"),
        ({}, 'model_url = "http://127.0.0.1:1/v1"', "model_url and model_name go together"),
        ({}, 'mqtt_certificate = "c.pem"\nmqtt_key = "k.pem"', "mqtt_ca"),
        ({}, 'api_keys = ["k1"]', "not name=key"),
        ({}, 'api_keys = "a=b"', r"wk\.toml: api_keys: does not fit: Expected `array`"),
        ({"WATCHKEEPER_API_KEYS": ""}, "mqtt_port = 65535", r"wk\.toml: mqtt_port: 65535 does not fit"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(tmp_path, environment, text, said):
    file = ""
    if text:
        file = str(tmp_path / "wk.toml")
        (tmp_path / "wk.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_settings({}, environment, file)


def test_a_settings_file_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match=r"no-such\.toml"):
        read_settings({}, {}, "no-such.toml")


def test_an_ipv6_loopback_address_needs_no_key():
    assert read_settings({"host": "::1"}, {}).host == "::1"
