"""Sends readings by MQTT to `devices/{device}/telemetry` at QoS 1, and waits until the broker has acknowledged each."""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable
from typing import Literal, Self

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from watchkeeper.errors import ConfigError, Unavailable
from watchkeeper_local.sources.endpoint import parse_endpoint
from watchkeeper_local.sources.reading import SourceReading
from watchkeeper_local.sources.sent import Rejection, Sent

VERSIONS = {"3.1.1": MQTTProtocolVersion.MQTTv311, "5": MQTTProtocolVersion.MQTTv5}
LONGEST_TOPIC = 65_535  # bytes, MQTT 5.0 section 1.5.4
REFUSED = 0x80  # reason codes from here on are failures, MQTT 5.0 section 2.4


class MqttSender:
    """Publishes over one connection, at most `in_flight` messages unacknowledged; it reconnects and sends again.

    The URL is `mqtt://[user:password@]host[:1883]`, or `mqtts://` (8883) for TLS. Every broker speaks the
    default, 3.1.1; with version 5 the broker says why it refuses a message, and such a reading is counted as rejected.
    """

    def __init__(
        self,
        url: str,
        *,
        version: Literal["3.1.1", "5"] = "3.1.1",
        ca_file: str | None = None,
        in_flight: int = 50,
        patience_s: float = 30.0,
        client_id: str | None = None,
    ) -> None:
        """Connects; Unavailable when the broker is not there, ConfigError when it refuses us."""
        endpoint = parse_endpoint(url, ("mqtt", "mqtts"))
        self.url = endpoint.shown
        self._in_flight = in_flight
        self._patience_s = patience_s
        self._news = threading.Condition()
        self._answers: dict[int, str | None] = {}
        self._refusal: str | None = None
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id or f"watchkeeper-send-{uuid.uuid4().hex[:12]}",
            protocol=VERSIONS[version],
        )
        self._client.max_inflight_messages_set(in_flight)
        self._client.reconnect_delay_set(1, 5)
        if endpoint.user is not None:
            self._client.username_pw_set(endpoint.user, endpoint.password)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        if endpoint.scheme == "mqtts":
            _trust(self._client, ca_file)
        try:
            self._client.connect(endpoint.host, endpoint.port, keepalive=30)
        except OSError as error:
            raise Unavailable(f"{self.url} cannot be reached ({error}); is a broker running there?") from error
        self._client.loop_start()
        refusal = self._await_connack(min(patience_s, 10.0))
        if refusal != "":
            self.close()
            if refusal is None:
                raise Unavailable(f"{self.url} takes the connection and then says nothing: is it MQTT {version}?")
            raise ConfigError(f"{self.url} refuses the connection ({refusal}); check user and password")

    def send(self, readings: Iterable[SourceReading]) -> Sent:
        """Publish all of them in order; Unavailable when an acknowledgement stays away for `patience_s` seconds."""
        waiting: deque[tuple[int, int]] = deque()
        rejections: list[Rejection] = []
        count = 0
        for index, reading in enumerate(readings):
            count += 1
            topic = f"devices/{reading['device']}/telemetry"
            if (wrong := _unfit(reading["device"], topic)) is not None:
                rejections.append(Rejection(index, wrong))
                continue
            payload = {"ts": reading["ts"], "values": reading["values"]}
            if tags := reading.get("tags"):
                payload["tags"] = tags
            if len(waiting) >= self._in_flight:
                self._settle(waiting, rejections)
            waiting.append((index, self._client.publish(topic, msgspec.json.encode(payload), qos=1).mid))
        while waiting:
            self._settle(waiting, rejections)
        rejections.sort(key=lambda rejection: rejection.index)
        return Sent(count - len(rejections), len(rejections), rejections=tuple(rejections))

    def close(self) -> None:
        """Disconnect and stop the network thread."""
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _await_connack(self, seconds: float) -> str | None:
        """Why the broker refuses us, the empty string when it does not, None when it does not answer."""
        with self._news:
            self._news.wait_for(lambda: self._refusal is not None, seconds)
            return self._refusal

    def _settle(self, waiting: deque[tuple[int, int]], rejections: list[Rejection]) -> None:
        """Wait for the oldest message's acknowledgement."""
        index, mid = waiting.popleft()
        since = time.monotonic()
        with self._news:
            if not self._news.wait_for(lambda: mid in self._answers, self._patience_s):
                waited = time.monotonic() - since
                raise Unavailable(f"{self.url}: {len(waiting) + 1} messages are not acknowledged after {waited:.0f} s")
            refusal = self._answers.pop(mid)
        if refusal is not None:
            rejections.append(Rejection(index, refusal))

    # paho calls these from its network thread, with locks held that publish() takes as well: they only leave a note.
    def _on_connect(
        self,
        client: mqtt.Client,
        userdata: object,
        flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        with self._news:
            self._refusal = str(reason) if reason.is_failure else ""
            self._news.notify_all()

    def _on_disconnect(
        self, client: mqtt.Client, userdata: object, flags: mqtt.DisconnectFlags, reason: ReasonCode, properties: object
    ) -> None:
        with self._news:
            # rumqttd refuses a wrong password by hanging up, where the standard allows a CONNACK that says so.
            if self._refusal is None:
                self._refusal = "it hangs up without a word"
                self._news.notify_all()

    def _on_publish(
        self, client: mqtt.Client, userdata: object, mid: int, reason: ReasonCode, properties: Properties
    ) -> None:
        with self._news:
            self._answers[mid] = str(reason) if reason.value >= REFUSED else None
            self._news.notify_all()


def _trust(client: mqtt.Client, ca_file: str | None) -> None:
    try:
        client.tls_set(ca_certs=ca_file)
    except OSError as error:
        raise ConfigError(f"{ca_file}: no certificates to trust ({error})") from error


def _unfit(device: str, topic: str) -> str | None:
    """Why a device's name cannot be part of a topic (MQTT 5.0 section 4.7), or None."""
    if not device or any(sign in device for sign in "+#/\0"):
        return f"device {device[:80]!r}: a name in a topic is not empty and has none of + # / NUL"
    try:
        long = len(topic.encode()) > LONGEST_TOPIC
    except UnicodeEncodeError:
        return f"device {device[:80]!r}: a name in a topic is valid Unicode"
    return "device: the name is too long for a topic" if long else None
