"""What a month on Azure will cost, from the pipeline's table, a load, and a price book: standing and per use apart.

It is an estimate. What is assumed stands in `Assumptions`; what is counted follows from the table: which stage takes
which topic, keeps which state, and writes which rows. Request units are reckoned by Cosmos DB's published figures for
rows of a kilobyte of which only the keys are indexed.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from watchkeeper.cost.estimate import HOURS, SECONDS, Estimate, priced
from watchkeeper.cost.flows import GB, Assumptions, flows_of, touched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper.cost.azure_stack import AzureStack
    from watchkeeper.cost.estimate import Amounts
    from watchkeeper.cost.flows import Flow, Load
    from watchkeeper.cost.prices import PriceBook
    from watchkeeper.topology import Stage

MEMORY_GB = 2.0  # of an instance, which is charged as long as it has something to do
LEAST_S = 1.0  # an instance that wakes is charged for a second at least
TABLES_OF_DEVICES = {"devices": 60.0, "quality": 1800.0}
"""Seconds after which a device that sends is written again, by table."""
ROWS_OF_AN_ANOMALY = 6
PUSHES_OF_AN_ANOMALY, LISTENERS, UNITS_OF_A_PUSH = 3, 5, 2  # new, explained, over; dashboards that are open; 2 KB each
UNITS_OF_A_WRITE, UNITS_OF_A_PATCH, UNITS_OF_A_READ = 5.5, 10.0, 1.0
EVENT_UNIT = 65_536  # bytes of an event that are charged for at once
TRACES_OF_A_BATCH = 1500  # bytes
NOTES_OF_A_BATCH = 2.0  # what the host writes about each: how far it is, and who runs it
METRIC_ALARMS, LOG_ALARMS_OF_A_FUNCTION, OTHER_LOG_ALARMS = 8, 2, 1
UNITS_OF_AUTOSCALE = 100


def estimate(
    pipeline: Sequence[Stage], load: Load, stack: AzureStack, prices: PriceBook, assumed: Assumptions | None = None
) -> Estimate:
    """A month's cost of this load on this stack."""
    assumed = assumed or Assumptions()
    flows = list(flows_of(pipeline, load, stack, assumed))
    used = _Use(flows, load, stack, assumed)
    lines = priced(_standing(pipeline, flows, stack, used.throughput_units), used.all(), prices)
    hub = f"IoT Hub {stack.hub_units} × {stack.hub_size}"
    size = f"{hub}, {used.throughput_units} throughput units, Cosmos DB {stack.cosmos}, {stack.shards} shards"
    return Estimate(lines, load, f"{size}, batches wait {stack.batch_wait_seconds} s")


@dataclasses.dataclass(frozen=True)
class _Use:
    """What readings use a second, by service and by the price book's names."""

    flows: Sequence[Flow]
    load: Load
    stack: AzureStack
    assumed: Assumptions

    def all(self) -> Amounts:
        """Of every service."""
        return {
            "Functions": self._functions(),
            "Event Hubs": {"hubs_event": self._events},
            "Blob Storage": self._objects(),
            "Cosmos DB": self._rows(),
            "Web PubSub": self._pushes(),
            "Logs and alarms": {"log_gb": self._batches * TRACES_OF_A_BATCH / GB},
        }

    @property
    def throughput_units(self) -> int:
        """What the stack has or, if that is more, what the load needs: 1 MB or 1,000 events a second in, 2 MB out."""
        needed = max(sum(flow.bytes for flow in self.flows) / 1e6, self._events / 1000)
        return max(self.stack.throughput_units, math.ceil(needed))

    @property
    def _events(self) -> float:
        sizes = ((flow.messages, flow.bytes / flow.messages) for flow in self.flows if flow.messages)
        return sum(messages * max(1, math.ceil(size / EVENT_UNIT)) for messages, size in sizes)

    @property
    def _batches(self) -> float:
        return sum(flow.invocations for flow in self.flows)

    def _functions(self) -> dict[str, float]:
        """An instance takes one batch after another; alone it is charged for a second, in company for what it takes."""
        seconds = 0.0
        for flow in self.flows:
            waiting = (
                flow.invocations * (self.assumed.batch_ms + self.assumed.shard_ms * touched(flow, self.stack)) / 1e3
            )
            busy = waiting + flow.readings * self.assumed.busy_us.get(flow.stage.name, 0.0) / 1e6
            seconds += max(busy, min(1.0, flow.invocations * LEAST_S))
        return {"flex_gb_second": seconds * MEMORY_GB, "flex_execution": self._batches}

    def _objects(self) -> dict[str, float]:
        """A state is a write, and a read of its version before it; a stage with blobs writes a segment a shard too."""
        writes = reads = 0.0
        for flow in self.flows:
            states = flow.invocations * touched(flow, self.stack)
            writes += states * (1 + (self.assumed.merges if "blobs" in flow.stage.uses else 0))
            reads += states
        kept = self.load.readings_per_second * self.assumed.stored_bytes / GB
        notes = self._batches * NOTES_OF_A_BATCH
        return {
            "lake_write": writes,
            "lake_read": reads,
            "lake_gb_month": kept,
            "blob_write": notes,
            "blob_read": notes,
        }

    def _pushes(self) -> dict[str, float]:
        """The free service takes no more than it may, for nothing."""
        if self.stack.web_pubsub == "Free_F1":
            return {}
        anomalies = self.load.readings_per_second * self.assumed.anomalies_per_reading
        return {"pubsub_message": anomalies * PUSHES_OF_AN_ANOMALY * LISTENERS * UNITS_OF_A_PUSH}

    def _rows(self) -> dict[str, float]:
        """The meter with each batch, devices and their quality now and then, and a few rows with each anomaly.

        By autoscale what is kept ready is paid for, whether or not it is used: nothing comes on top.
        """
        if self.stack.cosmos == "autoscale":
            return {}
        written = {table.name for flow in self.flows for table in flow.stage.writes}
        due = (self.load.devices / every for name, every in TABLES_OF_DEVICES.items() if name in written)
        writes = sum(min(amount, self.load.readings_per_second) for amount in due)
        writes += ROWS_OF_AN_ANOMALY * self.load.readings_per_second * self.assumed.anomalies_per_reading
        units = writes * (UNITS_OF_A_WRITE + UNITS_OF_A_READ) + self._batches * UNITS_OF_A_PATCH
        return {"cosmos_unit": units}


def _standing(pipeline: Sequence[Stage], flows: Sequence[Flow], stack: AzureStack, throughput_units: int) -> Amounts:
    """What runs by the hour, and timers, each of which looks at the state of every shard."""
    ticks = {stage: SECONDS / stage.timer.seconds for stage in pipeline if stage.timer and stage.name != "watch"}
    looks = sum(times * stack.shards for stage, times in ticks.items() if stage.state == "shard")
    called = sum(ticks.values())
    functions = len(pipeline) - 1  # watch is none
    if stack.cosmos == "autoscale":
        tables = {"cosmos_autoscale_hour": stack.cosmos_units / UNITS_OF_AUTOSCALE * HOURS}
    else:
        tables = {"cosmos_unit": called * (UNITS_OF_A_PATCH + UNITS_OF_A_READ)}
    return {
        "IoT Hub": {f"iot_{stack.hub_size}_month": stack.hub_units},
        "Event Hubs": {"hubs_unit_hour": throughput_units * HOURS},
        "Functions": {"flex_execution": called, "flex_gb_second": called * LEAST_S * MEMORY_GB},
        "Blob Storage": {
            "lake_read": looks + called * 2,
            "blob_write": called * NOTES_OF_A_BATCH,
            "blob_read": called * NOTES_OF_A_BATCH,
        },
        "Cosmos DB": {**tables, "cosmos_gb_month": 1},
        "Logs and alarms": {
            "metric_alarm_month": METRIC_ALARMS + 2 * len(flows),
            "log_alarm_month": LOG_ALARMS_OF_A_FUNCTION * functions + OTHER_LOG_ALARMS,
            "log_gb": called * TRACES_OF_A_BATCH / GB,
        },
        "Web PubSub": {f"pubsub_{stack.web_pubsub}_month": stack.web_pubsub_units},
        "Dashboard": {f"dashboard_{stack.dashboard_size}_month": 1},
        "Key Vault": {"vault_call": called},
    }
