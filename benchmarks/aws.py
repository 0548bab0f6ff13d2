"""What a reading costs on AWS: time in the handlers, and what is counted of each service, turned into dollars.

Devices send one reading a second each, by the device hub, as JSON of four metrics. Batches come as MSK's mappings bring
them: every WINDOW_S seconds, one for each partition. The handlers are those that Lambda calls, in this process, over
ports in memory that count; `--emulators` then takes the same over Kafka and an emulated AWS, for the adapters' time.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from aws_costs import charged, dollars
from cloud_stack import BEGAN, SCORED, WAY, WINDOW_S, Stack, caution, run, trained

from watchkeeper.memory import memory_ports
from watchkeeper.ports import Ports, Stored
from watchkeeper_aws.container import Container
from watchkeeper_aws.function import StageFunction
from watchkeeper_aws.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from watchkeeper.detection.model import Model

BATCH = 5000  # messages that a function is given at once, at most


class AwsStack(Stack):
    """Lambda's functions, and MSK's mappings between them."""

    def __init__(self, ports: Ports, shards: int, partitions: int) -> None:
        super().__init__(ports, shards, partitions, charged)
        container = Container(Settings(shards=shards, partitions=partitions), self.ports, lambda: self.clock_ms)
        container.__dict__["published"] = self.published
        self._functions = {name: StageFunction(name, lambda: container) for name in WAY}
        self._said = io.StringIO()

    def largest(self, stage: str) -> int:
        return BATCH

    def prepared(self, stage: str, topic: str, partition: int, messages: Sequence[Stored]) -> Callable[[], object]:
        event = msk_event(topic, partition, messages)
        self._said = io.StringIO()

        def call() -> object:
            with contextlib.redirect_stdout(self._said):
                return self._functions[stage](event, Enough())

        return call

    def ended(self, stage: str, answer: object) -> None:
        assert answer == {"batchItemFailures": []}, answer
        self.counts[stage] += Counter(lambda_request=1, log_bytes=len(self._said.getvalue()))


class Enough:
    """Lambda's context, with time enough."""

    aws_request_id = "8e3d5f30-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """A minute."""
        return 60_000


def msk_event(topic: str, partition: int, messages: Sequence[Stored]) -> dict[str, Any]:
    """Messages as MSK's mapping brings them."""
    records = [
        {
            "topic": topic,
            "partition": partition,
            "offset": message.offset,
            "timestamp": BEGAN,
            "timestampType": "CREATE_TIME",
            "key": base64.b64encode(str(message.shard).encode()).decode(),
            "value": base64.b64encode(message.value).decode(),
            "headers": [{name: list(value.encode())} for name, value in message.headers.items()],
        }
        for message in messages
    ]
    return {"eventSource": "aws:kafka", "records": {f"{topic}-{partition}": records}}


def cold_starts() -> dict[str, float]:
    """Milliseconds that importing a handler takes in a new process, the best of three."""
    code = "import time; t = time.perf_counter(); import watchkeeper_aws.handlers.%s; print(time.perf_counter() - t)"
    names = (*WAY, "rag_explain", "notify", "api", "authorizer")
    return {
        name: 1000 * min(float(subprocess.check_output([sys.executable, "-c", code % name])) for _ in range(3))  # noqa: S603 - our own text
        for name in names
    }


def show(stack: Stack, readings: int) -> None:
    """The tables."""
    heads = "".join(f"{head:>8}" for head in ("calls", "PUTs", "GETs", "writes", "units", "sent", "KB out"))
    print(f"\n{'':>12}{'µs/reading':>12}{heads}   all but the time for 1,000 readings")
    kinds = ("lambda_request", "s3_put", "s3_get", "dynamodb_write", "dynamodb_write_unit", "kafka_messages")
    for name in WAY:
        counts, per = stack.counts[name], 1000 / readings
        row = [counts[kind] * per for kind in kinds]
        row.append((counts["kafka_bytes"] + counts["s3_put_bytes"]) / 1000 * per)
        print(f"{name:>12}{stack.seconds[name] * 1e6 / readings:>12.2f}" + "".join(f"{each:>8.2f}" for each in row))
    scored = sum(stack.seconds[name] for name in SCORED) * 1e6 / readings
    print(f"\nclean, rule_check and ml_score together: {scored:.2f} µs/reading, {1e6 / scored:,.0f} readings/s a core")
    whole: Counter[str] = sum(stack.counts.values(), Counter())
    priced = dollars(whole, sum(stack.seconds.values()), hub=readings)
    print("\nUS dollars for a million readings, used as they come (what runs by the hour comes on top):")
    for service, amount in sorted(priced.items(), key=lambda each: -each[1]):
        print(f"  {service:<28}{amount * 1e6 / readings:>9.4f}")
    hub = sum(amount for service, amount in priced.items() if service.startswith("IoT"))
    total = sum(priced.values())
    print(f"  {'all':<28}{total * 1e6 / readings:>9.4f}   without the device hub {(total - hub) * 1e6 / readings:.4f}")


def on_emulators(model: Model, devices: int, windows: int, shards: int, partitions: int) -> Stack:
    """The same over Kafka and an emulated AWS. NotToBeHadError: they are not installed."""
    import os
    import tempfile
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.emulators.aws import CREDENTIALS, emulated, new_bucket, new_tables
    from tests.emulators.servers import ministack, noida
    from watchkeeper_adapters.kafka.connection import Connection
    from watchkeeper_adapters.kafka.stream import KafkaStream
    from watchkeeper_adapters.kafka.topics import make_topics
    from watchkeeper_aws.blobs import S3Blobs
    from watchkeeper_aws.meter import DynamoMeter
    from watchkeeper_aws.tables import DynamoTables

    os.environ |= CREDENTIALS
    with tempfile.TemporaryDirectory() as name, ministack(Path(name)) as aws, noida(Path(name)) as kafka:
        connection = Connection(brokers=kafka.address)
        make_topics(connection, partitions)
        stream, dynamodb, prefix = (
            KafkaStream(connection, partitions=partitions),
            emulated(aws, "dynamodb"),
            new_tables(aws),
        )
        blobs = S3Blobs(emulated(aws, "s3"), new_bucket(aws))
        ports = Ports(
            stream, DynamoTables(dynamodb, prefix), blobs, DynamoMeter(dynamodb, prefix), contextlib.nullcontext
        )
        made = run(AwsStack, ports, model, devices, windows, shards, partitions)
        stream.close()
        return made


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--windows", type=int, default=24, help=f"of {WINDOW_S} s each")
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--emulators", action="store_true", help="measure the adapters, too")
    asked = parser.parse_args()
    readings = asked.devices * asked.windows * WINDOW_S
    layout = (asked.devices, asked.windows, asked.shards, asked.partitions)
    print(f"{asked.devices:,} devices × 1 Hz, {asked.shards} shards, {asked.partitions} partitions, every {WINDOW_S} s")
    print(caution(asked.windows))
    model = trained(AwsStack)
    stack = run(AwsStack, memory_ports(asked.partitions), model, *layout)
    show(stack, readings)
    print(caution(asked.windows))
    if asked.emulators:
        fewer = asked.windows // 4
        layout, readings = (asked.devices, fewer, *layout[2:]), readings // asked.windows * fewer
        stack = run(AwsStack, memory_ports(asked.partitions), model, *layout)
        other = on_emulators(model, *layout)
        print("\nadapters over emulators on this machine, what they add (µs/reading; ms a call of a function):")
        for name in WAY:
            more = other.seconds[name] - stack.seconds[name]
            print(
                f"{name:>12}{more * 1e6 / readings:>10.2f}{more * 1000 / other.counts[name]['lambda_request']:>10.1f}"
            )
    print("\nimporting a handler, ms: " + json.dumps({name: round(ms) for name, ms in cold_starts().items()}))


if __name__ == "__main__":
    main()
