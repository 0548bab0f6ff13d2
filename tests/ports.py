"""Ports of loopback that nobody listens on now."""

import contextlib
import socket

HERE = "127.0.0.1"


def free_port() -> int:
    """One."""
    with socket.create_server((HERE, 0)) as server:
        return server.getsockname()[1]


def free_ports() -> tuple[int, int]:
    """One for HTTP, and one for MQTT whose successor is free as well."""
    while True:
        with socket.socket() as http, socket.socket() as mqtt, socket.socket() as after:
            http.bind((HERE, 0))
            mqtt.bind((HERE, 0))
            with contextlib.suppress(OSError, OverflowError):
                after.bind((HERE, mqtt.getsockname()[1] + 1))
                return http.getsockname()[1], mqtt.getsockname()[1]
