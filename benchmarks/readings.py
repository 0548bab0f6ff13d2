"""Bodies of readings for load generators: encoded once, so that sending one costs no more than patching its times.

A reading is about 200 bytes of JSON, of a pump with four metrics. Noise is Gaussian; of 1,000 devices two vibrate
beyond the rule's level all the time, and five now and then.
"""

from __future__ import annotations

import dataclasses
import math
import random
import re
from collections.abc import Sequence

import msgspec
import numpy as np

from watchkeeper.packs import Ints

PLACEHOLDER = 1_000_000_000_000
JSON_PLACE = re.compile(str(PLACEHOLDER).encode())
MSGPACK_PLACE = re.compile(rb"(?<=\xcf)" + re.escape(PLACEHOLDER.to_bytes(8, "big")))
MEDIA_TYPES = {"json": "application/json", "ndjson": "application/x-ndjson", "msgpack": "application/msgpack"}
METRICS = ("flow", "discharge_pressure", "vibration", "motor_current")
USUAL = {"flow": (120.0, 1.5), "discharge_pressure": (6.2, 0.05), "vibration": (2.0, 0.1), "motor_current": (42.0, 0.4)}
BAD_VIBRATION = 8.6
LINES = ("a", "b", "c", "d")


def device_name(number: int) -> str:
    return f"pump-{number:05d}"


def reading(number: int, turn: int, rng: random.Random, ts: int = PLACEHOLDER) -> dict[str, object]:
    """The reading of a device in its how-manieth turn."""
    values = {name: round(rng.gauss(*USUAL[name]), 3) for name in METRICS}
    if number % 500 == 250 or (number % 200 == 100 and turn % 16 < 3):
        values["vibration"] = round(rng.gauss(BAD_VIBRATION, 0.1), 3)
    tags = {"line": LINES[number % 4], "firmware": "2.4.1"}
    return {"device": device_name(number), "site": "plant-north", "ts": ts, "values": values, "tags": tags}


@dataclasses.dataclass(slots=True)
class Body:
    """A body in a request, and where its times stand: `places[k]` is (rows, digits) for the k-th reading of devices."""

    data: bytearray
    places: list[Ints]
    form: str

    def patch(self, ts: int) -> None:
        """Let the readings be of this time, epoch ms; a device's second reading is a millisecond later."""
        bytes_ = np.frombuffer(self.data, np.uint8)
        for later, places in enumerate(self.places):
            moment = ts + later
            digits = moment.to_bytes(8, "big") if self.form == "msgpack" else b"%d" % moment
            bytes_[places] = np.frombuffer(digits, np.uint8)


def encode(readings: Sequence[dict[str, object]], form: str) -> bytes:
    """Readings as a body. `form` is one of MEDIA_TYPES."""
    if form == "msgpack":
        return msgspec.msgpack.encode(readings)
    if form == "ndjson":
        return msgspec.json.Encoder().encode_lines(readings)
    return msgspec.json.encode(readings)


def bodies(devices: Sequence[int], size: int, turns: int, form: str, seed: int, head: bytes = b"") -> list[Body]:
    """Bodies of `size` readings that go round these devices; at least `turns` of them, then they may be sent again.

    `head` is a request's head with `%d` for the length, which goes before each.
    """
    rng = random.Random(seed)
    layouts = len(devices) // math.gcd(len(devices), size)
    made = []
    for turn in range(-(-turns // layouts) * layouts):
        rows = range(turn * size, (turn + 1) * size)
        content = encode([reading(devices[row % len(devices)], row // len(devices), rng) for row in rows], form)
        data = bytearray((head % len(content) if head else b"") + content)
        starts = [found.start() for found in (MSGPACK_PLACE if form == "msgpack" else JSON_PLACE).finditer(data)]
        assert len(starts) == size
        width = 8 if form == "msgpack" else len(str(PLACEHOLDER))
        nth = np.arange(size) // len(devices)
        places = [np.array(starts)[nth == each][:, None] + np.arange(width) for each in range(int(nth[-1]) + 1)]
        made.append(Body(data, places, form))
    return made
