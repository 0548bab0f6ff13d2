"""The embedded MQTT broker: rumqttd through the `iotcore` package, in a process of its own.

It holds its queues in memory: a message that it has acknowledged to a device and that the bridge has not yet stored is
lost if the broker's own process is killed; see docs/reliability.md for how much that is. MQTT 3.1.1 is spoken on the
port itself; MQTT 5 on the next one, as rumqttd has a listener for each.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from iotcore import Broker

from watchkeeper.errors import ConfigError

if TYPE_CHECKING:
    from watchkeeper_local.settings import Settings

MAX_PAYLOAD = 256 * 1024
IN_FLIGHT = 500  # messages the bridge may hold unacknowledged; more wait in the broker, which has acknowledged them


def start_broker(settings: Settings) -> Broker:
    """Start it, and wait until it listens. ConfigError: a port is taken, or a certificate cannot be used."""
    file = Path(settings.data_dir) / "rumqttd.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(_config(settings), "utf-8")
    broker = Broker(config_path=str(file))
    try:
        return broker.start()
    except (OSError, RuntimeError, ValueError) as error:
        ports = f"{settings.mqtt_port} and {settings.mqtt_port + 1}"
        message = f"the MQTT broker cannot listen on ports {ports} of {settings.host}: {error}; choose --mqtt-port"
        raise ConfigError(message) from error


def _config(settings: Settings) -> str:
    router = "id = 0\n[router]\nid = 0\nmax_connections = 10010\nmax_outgoing_packet_count = 1000\n"
    router += "max_segment_size = 104857600\nmax_segment_count = 10\n"
    return router + _listener(settings, "v4", settings.mqtt_port) + _listener(settings, "v5", settings.mqtt_port + 1)


def _listener(settings: Settings, version: str, port: int) -> str:
    tls = ""
    if settings.mqtt_certificate:
        paths = (json.dumps(str(Path(path).resolve())) for path in (settings.mqtt_certificate, settings.mqtt_key))
        tls = "tls = {{ certpath = {}, keypath = {} }}\n".format(*paths)
    auth = ""
    if settings.mqtt_user:
        auth = (
            f"[{version}.1.connections.auth]\n{json.dumps(settings.mqtt_user)} = {json.dumps(settings.mqtt_password)}\n"
        )
    return (
        f'[{version}.1]\nname = "{version}"\nlisten = "{settings.host}:{port}"\nnext_connection_delay_ms = 1\n{tls}'
        f"[{version}.1.connections]\nconnection_timeout_ms = 60000\nmax_payload_size = {MAX_PAYLOAD}\n"
        f"max_inflight_count = {IN_FLIGHT}\ndynamic_filters = true\n{auth}"
    )
