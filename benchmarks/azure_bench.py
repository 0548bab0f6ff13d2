"""What a reading costs on Azure: time in the functions, and what is counted of each service, turned into dollars.

Devices send one reading a second each, by IoT Hub, as JSON of four metrics. Batches come as the Event Hubs trigger
brings them: every WINDOW_S seconds, of one partition each, as large as a stack cuts them unless it is told otherwise.
The functions are those of the app, called in this process with the host's payloads, over ports in memory that count.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from azure.functions import EventHubEvent
from azure.functions.meta import Datum
from azure_costs import charged, dollars, hub_dollars
from cloud_stack import SCORED, WAY, WINDOW_S, Stack, caution, run, trained

from watchkeeper.memory import memory_ports
from watchkeeper_azure.app import open_app
from watchkeeper_azure.container import Container
from watchkeeper_azure.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from watchkeeper.ports import Ports, Stored

RAW_BATCH, BATCH = 1000, 100  # rawBatchSize and batchSize of a stack
ROW_A_READING = 8500.0  # request units for 1,000 readings of a design that writes each
GOAL = 200.0


class AzureStack(Stack):
    """The functions of one app with all stages, and the Event Hubs triggers between them."""

    def __init__(self, ports: Ports, shards: int, partitions: int) -> None:
        super().__init__(ports, shards, partitions, charged)
        container = Container(Settings(shards=shards, partitions=partitions), self.ports, lambda: self.clock_ms)
        container.__dict__["published"] = self.published
        functions = open_app(lambda: container, ",".join(WAY)).get_functions()
        self._functions = {each.get_function_name(): each.get_user_function() for each in functions}

    def largest(self, stage: str) -> int:
        return RAW_BATCH if stage == "ingest" else BATCH

    def prepared(self, stage: str, topic: str, partition: int, messages: Sequence[Stored]) -> Callable[[], object]:
        events = hub_events(topic, partition, messages, raw=stage == "ingest")
        function = self._functions[f"{stage}_{topic.replace('-', '_')}"]
        return lambda: function(events)

    def ended(self, stage: str, answer: object) -> None:
        """A function that could not take its batch has raised."""
        assert answer is None, answer
        self.counts[stage]["execution"] += 1


def hub_events(topic: str, partition: int, messages: Sequence[Stored], *, raw: bool) -> list[EventHubEvent]:
    """Messages as the Event Hubs trigger brings them."""
    told = {
        "PropertiesArray": [{} if raw else {**each.headers, "shard": str(each.shard)} for each in messages],
        "SystemPropertiesArray": [system_properties(each, raw=raw) for each in messages],
        "PartitionContext": {"EventHubName": topic, "PartitionId": str(partition)},
    }
    metadata = {name: Datum(json.dumps(value), "json") for name, value in told.items()}
    return [EventHubEvent(body=each.value, trigger_metadata=metadata) for each in messages]


def system_properties(message: Stored, *, raw: bool) -> dict[str, Any]:
    """What Event Hubs says of an event, and IoT Hub of a message that came through it."""
    told: dict[str, Any] = {"SequenceNumber": message.offset, "EnqueuedTimeUtc": "2026-09-21T14:13:20.000Z"}
    if raw:
        received = datetime.fromtimestamp(int(message.headers["received"]) / 1000, UTC)
        told |= {
            "iothub-connection-device-id": message.headers["device"],
            "iothub-enqueuedtime": received.isoformat(timespec="milliseconds"),
        }
    return told


def request_units(stack: Stack, readings: int) -> float:
    """Of 1,000 readings."""
    return sum(counts["milliunits"] for counts in stack.counts.values()) / readings


def judged(units: float, warning: str) -> str:
    """Request units for 1,000 readings beside the goal, unless a `warning` says that they are not to be compared."""
    text = f"request units for 1,000 readings, estimated: {units:.1f}"
    if warning:
        return f"{text}; {warning}"
    met = "met" if units <= GOAL else "missed"
    other = f"a design that writes each reading: {ROW_A_READING:,.0f}, {ROW_A_READING / units:.0f} times as many"
    return f"{text}; the goal of {GOAL:.0f} is {met}; {other}"


def show(stack: Stack, readings: int, devices: int, warning: str) -> None:
    """The tables; a `warning` stands before and after them."""
    print(warning)
    kinds = ("execution", "hubs_event", "lake_write", "lake_read", "cosmos_write", "cosmos_read", "cosmos_patch")
    heads = ("calls", "sent", "blobs w", "blobs r", "rows w", "rows r", "patches", "RU")
    print(f"\n{'':>12}{'µs/reading':>12}" + "".join(f"{head:>9}" for head in heads) + "   for 1,000 readings")
    for name in WAY:
        counts = stack.counts[name]
        row = [*(counts[kind] * 1000 / readings for kind in kinds), counts["milliunits"] / readings]
        print(f"{name:>12}{stack.seconds[name] * 1e6 / readings:>12.2f}" + "".join(f"{each:>9.2f}" for each in row))
    scored = sum(stack.seconds[name] for name in SCORED) * 1e6 / readings
    print(f"\nclean, rule_check and ml_score together: {scored:.2f} µs/reading, {1e6 / scored:,.0f} readings/s a core")
    print(judged(request_units(stack, readings), warning))
    whole: Counter[str] = sum(stack.counts.values(), Counter())
    priced = dollars(whole, sum(stack.seconds.values()), hub=readings)
    print("\nUS dollars for a million readings, used as they come (what runs by the hour comes on top):")
    for service, amount in sorted(priced.items(), key=lambda each: -each[1]):
        print(f"  {service:<32}{amount * 1e6 / readings:>9.4f}")
    print(f"  {'all':<32}{sum(priced.values()) * 1e6 / readings:>9.4f}")
    print(f"  {'IoT Hub, by its units':<32}{hub_dollars(devices):>9.4f}   on top")
    print(warning)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--windows", type=int, default=24, help=f"of {WINDOW_S} s each")
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--partitions", type=int, default=8)
    asked = parser.parse_args()
    print(f"{asked.devices:,} devices × 1 Hz, {asked.shards} shards, {asked.partitions} partitions, every {WINDOW_S} s")
    layout = (asked.devices, asked.windows, asked.shards, asked.partitions)
    stack = run(AzureStack, memory_ports(asked.partitions), trained(AzureStack), *layout)
    show(stack, asked.devices * asked.windows * WINDOW_S, asked.devices, caution(asked.windows))


if __name__ == "__main__":
    main()
