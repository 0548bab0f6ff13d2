"""What a month on AWS will cost, from the pipeline's table, a load, and a price book: standing and per use apart.

It is an estimate. What is assumed stands in `Assumptions`; what is counted follows from the table: which stage takes
which topic, keeps which state, and writes which rows.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from watchkeeper.cost.estimate import HOURS, Estimate, priced
from watchkeeper.cost.flows import GB, Assumptions, flows_of, touched

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watchkeeper.cost.aws_stack import AwsStack
    from watchkeeper.cost.flows import Flow, Load
    from watchkeeper.cost.prices import PriceBook
    from watchkeeper.topology import Stage

SPARE = 1.3  # of the disks
TABLES_OF_DEVICES = {"devices": 60.0, "quality": 1800.0}
"""Seconds after which a device that sends is written again, by table."""
ENDPOINTS = 3  # secretsmanager, sns, lambda
ALARMS_OF_A_FUNCTION, ALARMS_OF_A_TRIGGER, OTHER_ALARMS = 4, 1, 7
METRICS_OF_A_FUNCTION = 8
LINES_OF_A_BATCH = 1200  # bytes
ROWS_OF_AN_ANOMALY = 6
IOT_UNIT = 5120  # bytes that are charged for at once
POLLERS_OF_A_UNIT = 4
MOST_OF_A_POLLER = 5e6  # bytes a second


@dataclasses.dataclass(frozen=True)
class AwsEstimate(Estimate):
    """A month's cost on AWS."""

    stack: AwsStack
    volume_gb: int  # the disk of a broker: what the stack has or, if that is more, what the load needs


def estimate(
    pipeline: Sequence[Stage], load: Load, stack: AwsStack, prices: PriceBook, assumed: Assumptions | None = None
) -> AwsEstimate:
    """A month's cost of this load on this stack."""
    assumed = assumed or Assumptions()
    flows = list(flows_of(pipeline, load, stack, assumed))
    volume_gb = max(stack.kafka_volume_gb, _needed_gb(flows, stack))
    standing = _standing(pipeline, flows, stack, volume_gb)
    lines = priced(standing, _Use(flows, load, stack, assumed).all(), prices)
    brokers = f"{stack.kafka_brokers} brokers {stack.kafka_instance} with {volume_gb} GB"
    size = f"{brokers}, {stack.zones} zones, {stack.shards} shards, batches wait {stack.batch_window_seconds} s"
    return AwsEstimate(lines, load, size, stack, volume_gb)


@dataclasses.dataclass(frozen=True)
class _Use:
    """What readings use a second, by service and by the price book's names."""

    flows: Sequence[Flow]
    load: Load
    stack: AwsStack
    assumed: Assumptions

    def all(self) -> dict[str, dict[str, float]]:
        """Of every service."""
        return {
            "Lambda": self._functions(),
            "Transfer": self._transfer(),
            "S3": self._objects(),
            "DynamoDB": self._rows(),
            "IoT Core": self._hub(),
            "CloudWatch": {"log_gb": self._batches * LINES_OF_A_BATCH / GB},
        }

    @property
    def _batches(self) -> float:
        return sum(flow.invocations for flow in self.flows)

    def _functions(self) -> dict[str, float]:
        gb_seconds = 0.0
        for flow in self.flows:
            waiting_ms = flow.invocations * (self.assumed.batch_ms + self.assumed.shard_ms * touched(flow, self.stack))
            busy_us = flow.readings * self.assumed.busy_us.get(flow.stage.name, 0.0)
            gb_seconds += (waiting_ms / 1e3 + busy_us / 1e6) * self.assumed.memory_gb
        return {"lambda_gb_second": gb_seconds, "lambda_request": self._batches}

    def _transfer(self) -> dict[str, float]:
        """Brokers are in other zones than whoever writes and reads, all but one of so many times."""
        crossing = sum(flow.bytes for flow in self.flows) * 2 * (self.stack.zones - 1) / self.stack.zones
        return {"transfer_between_zones_gb": crossing / GB}

    def _objects(self) -> dict[str, float]:
        """A state is a PUT, and a GET of its version before it; a stage with blobs writes a segment a shard too."""
        puts = gets = 0.0
        for flow in self.flows:
            states = flow.invocations * touched(flow, self.stack)
            puts += states * (1 + (self.assumed.merges if "blobs" in flow.stage.uses else 0))
            gets += states
        kept = self.load.readings_per_second * self.assumed.stored_bytes / GB
        return {"s3_put": puts, "s3_get": gets, "s3_gb_month": kept}

    def _rows(self) -> dict[str, float]:
        """The meter with each batch, devices and their quality now and then, and a few rows with each anomaly."""
        written = {table.name for flow in self.flows for table in flow.stage.writes}
        due = (self.load.devices / every for name, every in TABLES_OF_DEVICES.items() if name in written)
        writes = self._batches + sum(min(amount, self.load.readings_per_second) for amount in due)
        writes += ROWS_OF_AN_ANOMALY * self.load.readings_per_second * self.assumed.anomalies_per_reading
        return {"dynamodb_write_unit": writes, "dynamodb_read_unit": writes}

    def _hub(self) -> dict[str, float]:
        messages = self.load.readings_per_second / self.assumed.readings_per_message
        size = self.assumed.reading_bytes * self.assumed.readings_per_message
        units = messages * max(1, math.ceil(size / IOT_UNIT))
        return {"iot_connected_minute": self.load.devices / 60, "iot_rule": units, "iot_action": units}


def _standing(
    pipeline: Sequence[Stage], flows: Sequence[Flow], stack: AwsStack, volume_gb: int
) -> Mapping[str, Mapping[str, float]]:
    """What runs by the hour, and timers: once a minute at most, and each looks at the state of every shard."""
    ticks = {stage: HOURS * 3600 / max(60.0, stage.timer.seconds) for stage in pipeline if stage.timer}
    looks = sum(times * stack.shards for stage, times in ticks.items() if stage.state == "shard")
    seconds = sum(times * (0.3 if stage.state == "shard" else 0.1) for stage, times in ticks.items())
    called = sum(ticks.values())
    pollers = sum(max(stack.pollers, math.ceil(flow.bytes / MOST_OF_A_POLLER)) for flow in flows)
    functions = len(pipeline) + 1  # with the authorizer
    alarms = ALARMS_OF_A_FUNCTION * functions + ALARMS_OF_A_TRIGGER * len(flows) + OTHER_ALARMS
    brokers = stack.kafka_brokers
    return {
        "MSK": {
            f"{stack.kafka_instance}_hour": brokers * HOURS,
            "msk_gb_month": brokers * volume_gb,
        },
        "Lambda pollers": {"lambda_poller_unit_hour": math.ceil(pollers / POLLERS_OF_A_UNIT) * HOURS},
        "VPC endpoints": {"endpoint_zone_hour": ENDPOINTS * stack.zones * HOURS},
        "CloudWatch": {
            "alarm_month": alarms,
            "metric_month": METRICS_OF_A_FUNCTION * len(pipeline),
            "dashboard_month": 1,
            "log_gb": called * LINES_OF_A_BATCH / GB,
        },
        "Lambda": {"lambda_request": called, "lambda_gb_second": seconds * 1769 / 1024},
        "S3": {"s3_get": looks + called * 2},
        "DynamoDB": {"dynamodb_write_unit": called, "dynamodb_read_unit": called, "dynamodb_gb_month": 1},
        "KMS and secrets": {"kms_key_month": 2, "secret_month": 2, "schedule_call": called},
    }


def _needed_gb(flows: Sequence[Flow], stack: AwsStack) -> int:
    """Disk of a broker for what it must keep, with some to spare."""
    kept = sum(flow.bytes for flow in flows) * stack.retention_hours * 3600 * min(3, stack.kafka_brokers)
    return math.ceil(kept * SPARE / stack.kafka_brokers / GB)
