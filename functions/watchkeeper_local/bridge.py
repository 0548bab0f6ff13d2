"""The bridge from MQTT to the stream: a message is acknowledged to the broker only when it is durably stored.

Its session is persistent, so what arrives while it is away waits in the broker; what it has not acknowledged comes
again.
"""

from __future__ import annotations

import dataclasses
import logging
import queue
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from watchkeeper.errors import ConfigError, Unavailable
from watchkeeper.ids import shard_of
from watchkeeper.ports import Message, Ports
from watchkeeper.records import DEFAULT_TENANT
from watchkeeper.topology import DEVICE_TELEMETRY
from watchkeeper_local.node import clock
from watchkeeper_local.paces import Paces
from watchkeeper_local.sources.endpoint import parse_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

log = logging.getLogger(__name__)
TOPIC = "devices/+/telemetry"
CLIENT_ID = "watchkeeper-bridge"
BATCH = 500
RETRY_S = 1.0
MOST_HELD = 10_000
PAUSE_S = 0.05


@dataclasses.dataclass(slots=True)
class _Held:
    """A message that its broker has not been acknowledged yet; `received` in epoch ms."""

    message: mqtt.MQTTMessage
    received: int
    stored: bool = False


class Bridge:
    """Takes device messages off a broker and appends them to `device-telemetry`."""

    def __init__(
        self,
        url: str,
        ports: Ports,
        *,
        shards: int,
        ca_file: str = "",
        lag: Callable[[], int] | None = None,
        most_lag: int = 0,
        device_rate: float = 0.0,
    ) -> None:
        """`url` is mqtt:// or mqtts://, with user and password if the broker asks for them.

        While more than `most_lag` messages (0: any number) wait by `lag`, none is taken: they stay unacknowledged, and
        the broker holds the rest back. `device_rate` messages a second are taken of each device (0: any number).
        """
        self._lag, self._most_lag = lag, most_lag
        self._paces: Paces[_Held] | None = Paces(device_rate) if device_rate else None
        self._ports, self._shards = ports, shards
        self._endpoint = parse_endpoint(url, ("mqtt", "mqtts"))
        # A broker that knows no bound of what it sends unacknowledged is held back by its connection.
        self._waiting: queue.Queue[_Held] = queue.Queue(MOST_HELD)
        self._held: deque[_Held] = deque()  # not acknowledged yet, as they came
        self._stop = threading.Event()
        self._ending = False
        self.connected = threading.Event()
        self.stored = 0
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=CLIENT_ID,
            clean_session=False,
            protocol=MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
        self._client.reconnect_delay_set(1, 1)  # devices are back as soon as the broker is
        if self._endpoint.user is not None:
            self._client.username_pw_set(self._endpoint.user, self._endpoint.password)
        if self._endpoint.scheme == "mqtts":
            try:
                self._client.tls_set(ca_certs=ca_file or None)
            except OSError as error:
                message = f"{ca_file}: no certificates to trust ({error})"
                raise ConfigError(message) from error
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._writer = threading.Thread(target=self._write, name="mqtt-bridge", daemon=True)

    def start(self, patience_s: float = 10.0) -> None:
        """Connect and subscribe. ConfigError: the broker is not there, or refuses us."""
        self._client.connect_async(self._endpoint.host, self._endpoint.port, keepalive=30)
        self._client.loop_start()
        self._writer.start()
        if not self.connected.wait(patience_s):
            self.stop()
            message = f"{self._endpoint.shown} accepts no connection; is a broker there, with this user and password?"
            raise ConfigError(message)

    def expect_the_end(self) -> None:
        """The broker is about to be stopped on purpose: that it is gone is no news."""
        self._ending = True

    def stop(self) -> None:
        """Store what has come, then disconnect; what has not been acknowledged waits in the broker."""
        self._ending = True
        self._stop.set()
        if self._writer.is_alive():
            self._writer.join(10)
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self,
        client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            log.error("%s refuses the connection: %s", self._endpoint.shown, reason)
            return
        self._held = deque()  # what was not acknowledged on the last connection comes again on this one
        client.subscribe(TOPIC, qos=1)
        self.connected.set()

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _flags: object,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self.connected.clear()
        if not self._ending:
            log.warning("%s is gone (%s); trying again", self._endpoint.shown, reason)

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        held = _Held(message, clock())
        self._held.append(held)
        while not self._stop.is_set():
            try:
                self._waiting.put(held, timeout=1.0)
            except queue.Full:
                continue
            else:
                return

    def _write(self) -> None:
        while not (self._stop.is_set() and self._waiting.empty()):
            if self._too_much_waits():
                self._stop.wait(PAUSE_S)
                continue
            batch = self._next_batch() if self._paces is None else self._next_at_their_pace(self._paces)
            if batch:
                self._store([self._message(each.message, each.received) for each in batch])
                for each in batch:
                    each.stored = True
                self._acknowledge()
                self.stored += len(batch)

    def _acknowledge(self) -> None:
        """What has been stored, in the order in which it came, as MQTT 3.1.1 [4.6.0-2] asks for."""
        held = self._held
        while held and held[0].stored:
            message = held.popleft().message
            self._client.ack(message.mid, message.qos)

    def _too_much_waits(self) -> bool:
        """Does the pipeline have enough to do? When all is to end, what has come is stored all the same."""
        return not self._stop.is_set() and self._lag is not None and 0 < self._most_lag < self._lag()

    def _next_at_their_pace(self, paces: Paces[_Held]) -> list[_Held]:
        """Those whose turn it is; what is not taken stays unacknowledged, and comes again if all ends before."""
        while True:
            try:
                item = self._waiting.get_nowait() if len(paces) else self._waiting.get(timeout=0.2)
            except queue.Empty:
                break
            paces.put(item.message.topic, item)
            if self._waiting.empty():
                break
        due = paces.due(BATCH)
        if not due:
            self._stop.wait(PAUSE_S)
        return due

    def _next_batch(self) -> list[_Held]:
        try:
            batch = [self._waiting.get(timeout=0.2)]
        except queue.Empty:
            return []
        while len(batch) < BATCH:
            try:
                batch.append(self._waiting.get_nowait())
            except queue.Empty:
                break
        return batch

    def _store(self, messages: list[Message]) -> None:
        """Append them; while the store is away, try again: unacknowledged messages hold the devices back."""
        while True:
            try:
                self._ports.stream.append(DEVICE_TELEMETRY.name, messages)
            except Unavailable as error:
                log.error("device messages cannot be stored, trying again: %s", error)
                time.sleep(RETRY_S)
            else:
                return

    def _message(self, message: mqtt.MQTTMessage, received: int) -> Message:
        device = message.topic.split("/")[1]
        headers = {"device": device, "tenant": DEFAULT_TENANT, "received": str(received)}
        return Message(shard_of(DEFAULT_TENANT, device, self._shards), bytes(message.payload), headers)
