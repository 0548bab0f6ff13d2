"""The same whatever goes wrong, over the adapters of AWS and Kafka, by their real protocols.

SIMULATOR_AWS_EXAMPLES=50 looks deeper.
"""

import contextlib
import itertools
import os

import pytest
from hypothesis import HealthCheck, given, settings

from tests.emulators.aws import emulated, new_bucket, new_tables
from tests.simulator.checks import hold
from tests.simulator.faults import Fault
from tests.simulator.scenario import PARTITIONS, Scenario, Story
from tests.simulator.strategies import disturbances, scenarios
from tests.simulator.world import Disturbance
from watchkeeper.ports import Ports
from watchkeeper_adapters.claim_check import ClaimChecked
from watchkeeper_adapters.kafka.connection import Connection
from watchkeeper_adapters.kafka.stream import KafkaStream
from watchkeeper_adapters.kafka.topics import make_topics
from watchkeeper_aws.blobs import S3Blobs
from watchkeeper_aws.meter import DynamoMeter
from watchkeeper_aws.tables import DynamoTables

EXAMPLES = int(os.environ.get("SIMULATOR_AWS_EXAMPLES", "1"))
BUSY = Scenario((Story("dips", 0, 12), Story("corrected", 2, 8), Story("by http", 4, 6), Story("poison", 6, 3)))
_numbers = itertools.count()


@pytest.fixture
def make_ports(aws, kafka_server):
    """A factory of ports on an empty stack each."""
    streams = []

    def make(receivers, writer):
        connection, prefix = Connection(brokers=kafka_server.address), f"simulated-{next(_numbers)}-"
        make_topics(connection, PARTITIONS, prefix=prefix)
        dynamodb, tables = emulated(aws, "dynamodb"), new_tables(aws)
        blobs = S3Blobs(emulated(aws, "s3"), new_bucket(aws))
        streams.append(KafkaStream(connection, prefix=prefix, partitions=PARTITIONS))
        return Ports(
            ClaimChecked(streams[-1], blobs),
            DynamoTables(dynamodb, tables),
            blobs,
            DynamoMeter(dynamodb, tables),
            contextlib.nullcontext,
            writer,
            receivers,
        )

    yield make
    for stream in streams:
        stream.close()


def test_over_aws_nothing_is_lost_doubled_or_changed(make_ports):
    kinds = ("crash", "rival", "conflict", "rewind", "outage")
    faults = tuple(Fault(61, kind, 3) for _ in range(6) for kind in kinds)
    hold(make_ports, BUSY, Disturbance(faults, cuts=(3, 50), steps=(2,), copies=3))


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(scenarios, disturbances)
def test_over_aws_what_hypothesis_thinks_of_changes_nothing(make_ports, scenario, disturbance):
    hold(make_ports, scenario, disturbance)
