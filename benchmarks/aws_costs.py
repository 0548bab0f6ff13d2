"""What calls of ports would be charged for on AWS: counted by stage, and turned into dollars."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from watchkeeper.cost.aws_prices import AWS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MEMORY_GB = 1769 / 1024
CALL_MS = 12.0  # that a call of S3, DynamoDB or Kafka takes in a region, assumed; a batch waits for each in turn
CONNECTED_MINUTES = 1 / 60  # of a device, for each reading

PRICES = AWS.per_unit


class Counting:
    """A port that counts what its calls would be charged for; `now` names the stage they are charged to."""

    def __init__(self, kind: str, port: Any, counts: dict[str, Counter[str]], now: list[str]) -> None:  # noqa: ANN401
        self._kind, self._port, self._counts, self._now = kind, port, counts, now

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._port, name)

        def counted(*args: Any, **more: Any) -> Any:  # noqa: ANN401 - whatever the port takes
            answer = call(*args, **more)
            self._counts[self._now[0]] += charged(self._kind, name, args, answer)
            return answer

        return counted


def charged(kind: str, name: str, args: Sequence[Any], answer: Any) -> Counter[str]:  # noqa: ANN401, PLR0911
    """What a call comes to: requests and units by the names of prices, bytes, and how often it waits for a service."""
    if kind == "stream" and name == "append":
        size = sum(len(message.value) for message in args[1])
        return Counter(kafka_messages=len(args[1]), kafka_bytes=size, calls=1)
    if kind == "blobs" and name == "put":
        return Counter(s3_put=1, s3_put_bytes=len(args[1]), calls=1)
    if kind == "blobs" and name in {"get_many", "versions"}:
        return Counter(s3_get=len(args[0]), calls=1 if args[0] else 0)
    if kind == "tables" and name == "put":
        return Counter(dynamodb_write_unit=units(len(args[2]) + 100, 1024), dynamodb_write=1, calls=1)
    if kind == "tables" and name == "put_many":
        written = sum(units(len(value) + 100, 1024) for value in args[1].values())
        return Counter(dynamodb_write_unit=written, dynamodb_write=len(args[1]), calls=-(-len(args[1]) // 25))
    if kind == "tables" and name == "get_many":
        found = sum(units(len(row.value) + 100, 4096) for row in answer.values())
        return Counter(dynamodb_read_unit=found + len(args[1]) - len(answer), calls=1)
    if kind == "tables" and name == "query":
        return Counter(dynamodb_read_unit=units(sum(len(row.value) + 100 for row in answer), 4096), calls=1)
    if kind == "meter" and name == "add":
        return Counter(dynamodb_write_unit=1, dynamodb_write=1, calls=1) if args[2] else Counter()
    return Counter()


def units(size: int, unit: int) -> int:
    """How many units a size is charged as."""
    return max(1, -(-size // unit))


def dollars(counts: Mapping[str, float], seconds: float, *, hub: int = 0) -> dict[str, float]:
    """US dollars by service for what was counted; `hub` is how many readings came by the device hub."""
    billed = seconds + counts.get("calls", 0) * CALL_MS / 1000
    priced = {
        "Lambda, computing": seconds * MEMORY_GB * PRICES["lambda_gb_second"],
        "Lambda, waiting": (billed - seconds) * MEMORY_GB * PRICES["lambda_gb_second"],
        "Lambda, requests": counts.get("lambda_request", 0) * PRICES["lambda_request"],
        "S3, puts": counts.get("s3_put", 0) * PRICES["s3_put"],
        "S3, gets": counts.get("s3_get", 0) * PRICES["s3_get"],
        "DynamoDB, writes": counts.get("dynamodb_write_unit", 0) * PRICES["dynamodb_write_unit"],
        "DynamoDB, reads": counts.get("dynamodb_read_unit", 0) * PRICES["dynamodb_read_unit"],
        "CloudWatch, logs": counts.get("log_bytes", 0) / 1e9 * PRICES["log_gb"],
        "Kafka, between zones": counts.get("kafka_bytes", 0) / 1e9 * PRICES["transfer_between_zones_gb"],
    }
    if hub:
        priced["IoT Core, rule and action"] = hub * (PRICES["iot_rule"] + PRICES["iot_action"])
        priced["IoT Core, connected"] = hub * CONNECTED_MINUTES * PRICES["iot_connected_minute"]
    return priced
