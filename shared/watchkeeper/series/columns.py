"""A column of numbers as bytes, exact to the bit, and back.

A block is one tag byte and what it says. Integers are kept as offsets from their least value, or their steps as
offsets from the least step, in the fewest of 0, 1, 2, 4 or 8 bytes. Floats that are decimals of few digits, as
sensors send them, are kept as integers and a power of ten (the idea of ALP, Afroozeh et al., SIGMOD 2024); the rest
by byte planes, of which only the two that hold sign and exponent are worth deflating.
"""

from __future__ import annotations

import enum
import struct
import zlib
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from watchkeeper.packs import Floats, Ints

Item = TypeVar("Item", bound=np.generic)
_OFFSETS = struct.Struct("<BBq")  # deflated, bytes an item, least value
_STEPS = struct.Struct("<BBqq")  # the same of the steps, and the first value
_DIGITS = range(5)
_SAMPLE = 64
_NOISE_PLANES = 6


class _Kind(enum.IntEnum):
    RAW = 0
    OFFSETS = 1
    STEPS = 2
    DECIMAL = 3
    PLANES = 4
    SPARSE = 5


def pack_ints(column: Ints, *, deflate: bool) -> bytes:
    """A block of integers; deflating halves it and takes about four times as long."""
    if len(column) < 2:
        return b"\0" + column.astype("<i8", copy=False).tobytes()
    steps = np.diff(column)
    least, least_step = column.min(), steps.min()
    # Unsigned differences cannot overflow, whatever the two values are.
    offsets = column.view(np.uint64) - least.view(np.uint64)
    step_offsets = steps.view(np.uint64) - least_step.view(np.uint64)
    width, step_width = _width(offsets), _width(step_offsets)
    if step_width < width:
        head = _STEPS.pack(deflate, step_width, int(least_step), int(column[0]))
        return bytes([_Kind.STEPS]) + head + _narrow(step_offsets, step_width, deflate=deflate)
    head = _OFFSETS.pack(deflate, width, int(least))
    return bytes([_Kind.OFFSETS]) + head + _narrow(offsets, width, deflate=deflate)


def unpack_ints(block: memoryview, rows: int) -> Ints:
    """The integers of a block. ValueError, struct.error or zlib.error: it is not one of so many rows."""
    kind, rest = block[0], block[1:]
    if kind == _Kind.RAW:
        return _exactly(np.frombuffer(rest, "<i8").astype(np.int64, copy=False), rows)
    if kind == _Kind.OFFSETS:
        deflated, width, least = _OFFSETS.unpack_from(rest)
        return _widen(rest[_OFFSETS.size :], width, rows, least, deflated=deflated)
    if kind == _Kind.STEPS:
        deflated, width, least, first = _STEPS.unpack_from(rest)
        column = np.empty(rows, np.int64)
        column[0] = first
        column[1:] = _widen(rest[_STEPS.size :], width, rows - 1, least, deflated=deflated)
        return np.cumsum(column, out=column)
    message = f"no block of integers: kind {kind}"
    raise ValueError(message)


def pack_floats(column: Floats, *, deflate: bool) -> bytes:
    """A block of floats; NaN is absent."""
    if len(column) < 2:
        return b"\0" + column.astype("<f8", copy=False).tobytes()
    absent = np.isnan(column)
    if absent.any():
        bits = np.packbits(absent).tobytes()
        return bytes([_Kind.SPARSE]) + bits + pack_floats(column[~absent], deflate=deflate)
    for digits in _DIGITS:
        if _as_decimal(column[:_SAMPLE], digits) is not None and (ints := _as_decimal(column, digits)) is not None:
            return bytes([_Kind.DECIMAL, digits]) + pack_ints(ints, deflate=deflate)
    planes = np.ascontiguousarray(column.astype("<f8", copy=False).view(np.uint8).reshape(-1, 8).T)
    noise, rest = planes[:_NOISE_PLANES].tobytes(), planes[_NOISE_PLANES:].tobytes()
    return bytes([_Kind.PLANES]) + noise + zlib.compress(rest, 1)


def unpack_floats(block: memoryview, rows: int) -> Floats:
    """The floats of a block. ValueError, struct.error or zlib.error: it is not one of so many rows."""
    kind, rest = block[0], block[1:]
    if kind == _Kind.RAW:
        return _exactly(np.frombuffer(rest, "<f8").astype(np.float64, copy=False), rows)
    if kind == _Kind.SPARSE:
        size = (rows + 7) // 8
        present = np.unpackbits(np.frombuffer(rest[:size], np.uint8), count=rows) == 0
        column = np.full(rows, np.nan)
        column[present] = unpack_floats(rest[size:], int(present.sum()))
        return column
    if kind == _Kind.DECIMAL:
        decimals: Floats = unpack_ints(rest[1:], rows) / 10.0 ** rest[0]
        return decimals
    if kind == _Kind.PLANES:
        size = rows * _NOISE_PLANES
        planes = np.frombuffer(bytes(rest[:size]) + zlib.decompress(rest[size:]), np.uint8).reshape(8, rows)
        return np.ascontiguousarray(planes.T).view("<f8").reshape(rows).astype(np.float64, copy=False)
    message = f"no block of floats: kind {kind}"
    raise ValueError(message)


def _as_decimal(column: Floats, digits: int) -> Ints | None:
    """The integers that give the column back to the bit when divided by the power of ten, if there are such."""
    power = 10.0**digits
    with np.errstate(invalid="ignore", over="ignore"):
        ints: Ints = np.rint(column * power).astype(np.int64)
    same = ((ints / power).view(np.int64) == column.view(np.int64)).all()
    return ints if same else None


def _width(offsets: NDArray[np.uint64]) -> int:
    most = int(offsets.max())
    return next(width for width in (0, 1, 2, 4, 8) if most < 1 << (8 * width))


def _narrow(offsets: NDArray[np.uint64], width: int, *, deflate: bool) -> bytes:
    data = offsets.astype(f"<u{width}").tobytes() if width else b""
    return zlib.compress(data, 1) if deflate and data else data


def _widen(data: memoryview, width: int, rows: int, least: int, *, deflated: bool) -> Ints:
    if width == 0:
        return np.full(rows, least, np.int64)
    plain = zlib.decompress(data) if deflated else data
    offsets = np.frombuffer(plain, f"<u{width}").astype(np.int64)
    offsets += np.int64(least)
    return _exactly(offsets, rows)


def _exactly(column: NDArray[Item], rows: int) -> NDArray[Item]:
    if len(column) != rows:
        message = f"a block of {len(column)} items where {rows} belong"
        raise ValueError(message)
    return column
