"""Events as AWS sends them, around messages of ours."""

import base64
import json
import time
from pathlib import Path
from typing import Any

from watchkeeper.ports import Message, Stored

EVENTS = Path(__file__).parent / "data"


def event(name: str) -> dict[str, Any]:
    """A recorded event."""
    return json.loads((EVENTS / f"{name}.json").read_text("utf-8"))


def from_msk(topic: str, batches: dict[int, list[Stored]], prefix: str = "") -> dict[str, Any]:
    """Messages by partition as MSK's mapping brings them: the recorded event with other records."""
    name = prefix + topic
    records = {
        f"{name}-{partition}": [_record(name, partition, message) for message in messages]
        for partition, messages in batches.items()
    }
    return event("msk") | {"records": records}


def _record(name: str, partition: int, message: Stored) -> dict[str, Any]:
    return {
        "topic": name,
        "partition": partition,
        "offset": message.offset,
        "timestamp": int(time.time() * 1000),
        "timestampType": "CREATE_TIME",
        "key": base64.b64encode(str(message.shard).encode()).decode(),
        "value": base64.b64encode(message.value).decode(),
        "headers": [{key: [_signed(byte) for byte in value.encode()]} for key, value in message.headers.items()],
    }


def _signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte


def telemetry(device: str, shard: int, values: dict[str, float], ts: int, **more: Any) -> Message:
    """What the device hub puts on its topic."""
    body = json.dumps({"ts": ts, "values": values} | more).encode()
    return Message(shard, body, {"device": device, "received": str(ts)})
