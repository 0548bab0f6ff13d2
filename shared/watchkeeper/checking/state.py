"""What rule_check remembers of a shard: the rules that are not at rest, and when each device was last heard."""

from __future__ import annotations

import msgspec

from watchkeeper.codec import StructCodec

VERSION = 1


class Breach(msgspec.Struct, array_like=True, omit_defaults=True):
    """A rule of a device that is not at rest. Times are event times, epoch ms; 0: not so.

    Broken since `pending`; an episode since `opened`; clear since `clearing`; last said at `told`, with `count`
    readings since.
    """

    pending: int = 0
    opened: int = 0
    clearing: int = 0
    told: int = 0
    count: int = 0


class Heard(msgspec.Struct, array_like=True):
    """When a device was last heard (wall time), the newest event time, and whether that reading was live."""

    tenant: str
    device: str
    site: str
    received: int
    ts: int
    live: bool
    silent: list[str]  # ids of the rules that have said that it is silent


class CheckState(msgspec.Struct, array_like=True):
    """State of one shard. `breaches` by device and rule; `awake` is since when the timer has run without a break."""

    v: int
    heard: dict[str, Heard]
    breaches: dict[str, dict[str, Breach]]
    ticked: int = 0
    awake: int = 0


def device_key(tenant: str, device: str) -> str:
    """What a device is remembered by."""
    return f"{tenant}\0{device}"


CHECK_CODEC = StructCodec(CheckState, lambda: CheckState(VERSION, {}, {}))
