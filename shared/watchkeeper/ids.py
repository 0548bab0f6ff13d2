"""Deterministic ids: the same thing gets the same id wherever and however often it is made.

Readings are identified by 64-bit integers, computed for a whole column at once (the finaliser of SplitMix64,
Steele, Lea and Flood, OOPSLA 2014); records that people see have ids of hexadecimal text (BLAKE2b, RFC 7693).
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFAULT_SHARDS = 64


@functools.lru_cache(maxsize=200_000)
def device_hash(tenant: str, device: str) -> int:
    """64 bits that stand for a device of a tenant."""
    digest = hashlib.blake2b(f"{tenant}\0{device}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def shard_of(tenant: str, device: str, shards: int) -> int:
    """The shard, 0 to shards − 1, that all readings of a device belong to."""
    return device_hash(tenant, device) % shards


def mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser over an array: every input bit changes half of the output bits."""
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def reading_ids(hashes: NDArray[np.uint64], ts: NDArray[np.int64], salt: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Ids of readings from their device's hash, event time (epoch ms) and salt (0 where the time is their own)."""
    return mix(hashes ^ mix(ts.view(np.uint64)) ^ mix(salt))


def content_hashes(metrics: tuple[str, ...], values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """One hash per reading over its values, whatever the order of the metrics; `values` is (metrics, readings)."""
    mixed = mix(np.ascontiguousarray(values).view(np.uint64) ^ _seeds(metrics))
    mixed[np.isnan(values)] = 0
    total: NDArray[np.uint64] = mixed.sum(axis=0, dtype=np.uint64)
    return total


@functools.lru_cache(maxsize=4096)
def _seeds(metrics: tuple[str, ...]) -> NDArray[np.uint64]:
    return np.array([[device_hash("metric", name)] for name in metrics], np.uint64).reshape(len(metrics), 1)


def text_id(*parts: object) -> str:
    """16 hexadecimal digits made from the parts."""
    text = "\0".join(str(part) for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def episode_id(tenant: str, device: str, detector: str, since: int) -> str:
    """The id of the episode of a device and detector that opened at `since`, epoch ms."""
    return timed_id(since, tenant, device, detector)


def timed_id(ts: int, *parts: object) -> str:
    """An id that sorts by time: 13 digits of epoch ms, then 16 hexadecimal digits made from the parts."""
    return f"{max(ts, 0):013d}-{text_id(*parts)}"
