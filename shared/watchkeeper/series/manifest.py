"""What the store stage keeps of a shard: which segments are live, and what was last said of each device.

Segments of the whole shard are named here, and of each device only its newest: that one names the older ones. So the
state is as small after a year as after an hour, and arrival order is: a device's own segments, then the shard's.
"""

from __future__ import annotations

import dataclasses

import msgspec

from watchkeeper.codec import Format
from watchkeeper.errors import StateError
from watchkeeper.series.section import DeviceKey
from watchkeeper.series.segment import SegmentRef

VERSION = 1


class KnownDevice(msgspec.Struct, frozen=True, array_like=True):
    """A device as last written to the table of devices (`written`: epoch ms, wall time), and its newest own segment."""

    tenant: str
    device: str
    site: str
    metrics: tuple[str, ...]
    first_seen: int
    last_seen: int
    written: int
    newest: SegmentRef | None = None


class _Wire(msgspec.Struct, array_like=True):
    v: int
    sequence: int
    segments: list[SegmentRef]
    devices: msgspec.Raw


_encoder = msgspec.msgpack.Encoder()
_devices_decoder = msgspec.msgpack.Decoder(list[KnownDevice])
FORMAT = Format(_Wire, VERSION, "a manifest of the final series")


@dataclasses.dataclass(slots=True)
class StoreState:
    """A shard's manifest: the next segment's number, segments of the whole shard (oldest first), and the devices."""

    sequence: int = 0
    segments: list[SegmentRef] = dataclasses.field(default_factory=list)
    _devices: dict[DeviceKey, KnownDevice] = dataclasses.field(default_factory=dict)
    _packed: bytes | None = None

    def device(self, key: DeviceKey) -> KnownDevice | None:
        """What is known of a device."""
        return self._devices.get(key)

    def devices(self) -> list[KnownDevice]:
        """All devices, in the order they appeared."""
        return list(self._devices.values())

    def know(self, device: KnownDevice) -> None:
        """Keep this of a device from now on."""
        self._devices[device.tenant, device.device] = device
        self._packed = None

    def packed_devices(self) -> bytes:
        """The devices as bytes: they change seldom, the rest of the state with every batch."""
        if self._packed is None:
            self._packed = _encoder.encode(self.devices())
        return self._packed


class StoreCodec:
    """See `topology.StateCodec`."""

    version, version_of = FORMAT.version, FORMAT.version_of

    def empty(self) -> StoreState:
        """A shard never stored."""
        return StoreState()

    def encode(self, state: StoreState) -> bytes:
        """Bytes of a state."""
        return FORMAT.encode(_Wire(VERSION, state.sequence, state.segments, msgspec.Raw(state.packed_devices())))

    def decode(self, data: bytes) -> StoreState:
        """A state from bytes. StateError: they are none, or of a later version."""
        wire = FORMAT.decode(data)
        packed = bytes(wire.devices)
        try:
            devices = _devices_decoder.decode(packed)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            message = f"not a manifest of the final series: {error}"
            raise StateError(message) from error
        return StoreState(wire.sequence, wire.segments, {(d.tenant, d.device): d for d in devices}, packed)


STORE_CODEC = StoreCodec()
