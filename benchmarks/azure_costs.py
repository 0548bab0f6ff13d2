"""What calls of ports would be charged for on Azure: counted by stage, turned into request units and dollars.

Request units are an estimate, by Cosmos DB's published figures as `watchkeeper cost azure` reckons with them: so many
for each kilobyte of a row of which only the keys are indexed, and for each patch of up to ten numbers.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from watchkeeper.cost.azure_estimate import (
    EVENT_UNIT,
    MEMORY_GB,
    NOTES_OF_A_BATCH,
    TRACES_OF_A_BATCH,
    UNITS_OF_A_PATCH,
    UNITS_OF_A_READ,
    UNITS_OF_A_WRITE,
)
from watchkeeper.cost.azure_prices import AZURE
from watchkeeper.cost.azure_stack import MESSAGES_A_DAY
from watchkeeper_azure.meter import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CALL_MS = 12.0  # that a call of Blob Storage, Cosmos DB or Event Hubs takes in a region, assumed
QUERY_UNITS = 3.0  # of a query of one partition before what it finds, assumed
ROW_BYTES = 300  # of an item beside its value: keys, the random `write`, and what Cosmos DB adds
LAKE_UNIT = 4 << 20  # bytes of a write that are charged for at once
CONCURRENT = 10  # rows that the adapter asks for at the same time
DAY_S, MONTH_DAYS = 86_400, 730 / 24

PRICES = AZURE.per_unit


def charged(kind: str, name: str, args: Sequence[Any], answer: Any) -> Counter[str]:  # noqa: ANN401, PLR0911
    """What a call comes to: operations, request units (thousandths), bytes, and how often it waits for a service."""
    if kind == "stream" and name == "append":
        sizes = [len(message.value) for message in args[1]]
        events = sum(max(1, math.ceil(size / EVENT_UNIT)) for size in sizes)
        return Counter(hubs_event=events, hub_bytes=sum(sizes), calls=1)
    if kind == "blobs" and name == "put":
        return Counter(lake_write=max(1, math.ceil(len(args[1]) / LAKE_UNIT)), lake_bytes=len(args[1]), calls=1)
    if kind == "blobs" and name in {"get_many", "versions"}:
        return Counter(lake_read=len(args[0]), calls=math.ceil(len(args[0]) / CONCURRENT))
    if kind == "tables" and name == "put":
        return Counter(cosmos_write=1, milliunits=written([args[2]]), calls=1)
    if kind == "tables" and name == "put_many":
        rows = args[1].values()
        return Counter(cosmos_write=len(rows), milliunits=written(rows), calls=math.ceil(len(rows) / 100))
    if kind == "tables" and name == "get_many":
        units = UNITS_OF_A_READ * (sum(kilobytes(row.value) for row in answer.values()) + len(args[1]) - len(answer))
        return Counter(
            cosmos_read=len(args[1]), milliunits=round(1000 * units), calls=math.ceil(len(args[1]) / CONCURRENT)
        )
    if kind == "tables" and name == "query":
        units = QUERY_UNITS + UNITS_OF_A_READ * sum(kilobytes(row.value) for row in answer)
        return Counter(cosmos_read=1, milliunits=round(1000 * units), calls=1)
    if kind == "meter" and name == "add" and args[2]:
        patches = math.ceil((len(args[2]) + 1) / AT_ONCE)  # with the request units, which the meter adds itself
        return Counter(cosmos_patch=patches, milliunits=round(1000 * UNITS_OF_A_PATCH * patches), calls=patches)
    return Counter()


def kilobytes(value: bytes) -> int:
    """What an item with this value is charged as."""
    return math.ceil((len(value) + ROW_BYTES) / 1024)


def written(values: Any) -> int:  # noqa: ANN401 - any collection of bytes
    """Thousandths of request units of writing items with these values."""
    return round(1000 * UNITS_OF_A_WRITE * sum(kilobytes(value) for value in values))


def dollars(counts: Mapping[str, float], seconds: float, *, hub: int) -> dict[str, float]:
    """US dollars by service for what was counted; `hub` is how many readings came by IoT Hub, a message each."""
    waiting = counts.get("calls", 0) * CALL_MS / 1000
    calls = counts.get("execution", 0)
    return {
        "Functions, computing": seconds * MEMORY_GB * PRICES["flex_gb_second"],
        "Functions, waiting": waiting * MEMORY_GB * PRICES["flex_gb_second"],
        "Functions, executions": calls * PRICES["flex_execution"],
        "Event Hubs, from IoT Hub": hub * PRICES["hubs_event"],
        "Event Hubs, between stages": counts.get("hubs_event", 0) * PRICES["hubs_event"],
        "Cosmos DB, request units": counts.get("milliunits", 0) / 1000 * PRICES["cosmos_unit"],
        "Blob Storage, writes": counts.get("lake_write", 0) * PRICES["lake_write"],
        "Blob Storage, reads": counts.get("lake_read", 0) * PRICES["lake_read"],
        "Blob Storage, the host's notes": calls * NOTES_OF_A_BATCH * (PRICES["blob_write"] + PRICES["blob_read"]),
        "Logs": calls * TRACES_OF_A_BATCH / 1e9 * PRICES["log_gb"],
    }


def hub_dollars(devices: int) -> float:
    """US dollars of IoT Hub's units (S3) for a million readings of so many devices, one a second and message each."""
    a_day = devices * DAY_S
    return math.ceil(a_day / MESSAGES_A_DAY["S3"]) * PRICES["iot_S3_month"] / (a_day * MONTH_DAYS) * 1e6
