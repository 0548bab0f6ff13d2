"""The servers as fixtures of a test session; where one cannot be had, the tests that ask for it are skipped."""

import contextlib
import itertools
import time
import types

import pytest

from tests.emulators.aws import CREDENTIALS, emulated, new_bucket, new_tables
from tests.emulators.azure import ReadBack, container_of, database_of, new_container, new_hubs
from tests.emulators.azure import new_tables as new_cosmos_tables
from tests.emulators.cosmos.server import cosmos_stand_in
from tests.emulators.hub_links import OverAmqp
from tests.emulators.servers import NotToBeHadError, azurite, event_hubs, ministack, noida, npm_cosmos, tansu
from tests.simulator.scenario import PARTITIONS
from watchkeeper.ports import Ports
from watchkeeper_adapters.claim_check import ClaimChecked
from watchkeeper_adapters.kafka.connection import Connection
from watchkeeper_adapters.kafka.stream import KafkaStream
from watchkeeper_adapters.kafka.topics import make_topics
from watchkeeper_aws.blobs import S3Blobs
from watchkeeper_aws.meter import DynamoMeter
from watchkeeper_aws.tables import DynamoTables
from watchkeeper_azure.blobs import AzureBlobs
from watchkeeper_azure.meter import CosmosMeter
from watchkeeper_azure.tables import CosmosTables

_numbers = itertools.count()

SERVERS = {
    "aws_server",
    "kafka_server",
    "group_server",
    "broker",
    "blob_server",
    "cosmos_server",
    "hubs_server",
    "make_stack_ports",
    "make_aws_ports",
    "make_hosted_ports",
    "npm_cosmos_server",
}


def pytest_collection_modifyitems(items):
    """Who asks for a server is marked, so that it can be left out."""
    for item in items:
        if SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("emulated")


def _served(start, folder):
    try:
        with start(folder) as server:
            yield server
    except NotToBeHadError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def aws_server(tmp_path_factory):
    yield from _served(ministack, tmp_path_factory.mktemp("aws"))


@pytest.fixture
def aws(aws_server, monkeypatch):
    """The emulated AWS, with credentials of nobody."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return aws_server


@pytest.fixture
def no_pauses(monkeypatch):
    """boto3 tries again at once, not after seconds."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)


@pytest.fixture
def no_azure_pauses(monkeypatch):
    """Azure's libraries and our own loop try again at once."""
    monkeypatch.setattr("azure.storage.blob._shared.policies.ExponentialRetry.get_backoff_time", lambda *_: 0.01)
    monkeypatch.setattr("watchkeeper_azure.cosmos.FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr("azure.cosmos._retry_utility.time", _quick())


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory):
    yield from _served(noida, tmp_path_factory.mktemp("kafka"))


@pytest.fixture(scope="session")
def group_server(tmp_path_factory):
    yield from _served(tansu, tmp_path_factory.mktemp("tansu"))


@pytest.fixture(scope="session")
def blob_server(tmp_path_factory):
    yield from _served(azurite, tmp_path_factory.mktemp("azurite"))


@pytest.fixture(scope="session")
def hubs_server(tmp_path_factory):
    yield from _served(event_hubs, tmp_path_factory.mktemp("event-hubs"))


@pytest.fixture(scope="session")
def npm_cosmos_server(tmp_path_factory):
    yield from _served(npm_cosmos, tmp_path_factory.mktemp("npm-cosmos"))


@pytest.fixture
def quick_links(monkeypatch):
    """Azure's library looks every 2 ms whether a link is open, not every 50."""
    monkeypatch.setattr("azure.eventhub._client_base.time", _quick())


@pytest.fixture
def hubs(hubs_server, quick_links):
    """Event Hubs, whose links are soon open."""
    return hubs_server


@pytest.fixture(scope="session")
def cosmos_server():
    with cosmos_stand_in() as server:
        yield server


@pytest.fixture
def make_aws_ports(aws, kafka_server):
    """A factory of ports over Kafka and AWS for the simulator, each on a stack that is empty."""
    streams = []

    def make(receivers, writer):
        connection, prefix = Connection(brokers=kafka_server.address), f"simulated-{next(_numbers)}-"
        make_topics(connection, PARTITIONS, prefix=prefix)
        dynamodb, tables = emulated(aws, "dynamodb"), new_tables(aws)
        blobs = S3Blobs(emulated(aws, "s3"), new_bucket(aws))
        streams.append(KafkaStream(connection, prefix=prefix, partitions=PARTITIONS))
        return _ports(
            streams[-1], DynamoTables(dynamodb, tables), blobs, DynamoMeter(dynamodb, tables), receivers, writer
        )

    yield make
    for stream in streams:
        stream.close()


@pytest.fixture
def make_azure_ports(hubs, cosmos_server, blob_server):
    """The same over Event Hubs, Cosmos DB and Blob Storage."""
    with _azure_ports(ReadBack, hubs, cosmos_server, blob_server) as make:
        yield make


@pytest.fixture
def make_hosted_ports(hubs, cosmos_server, blob_server):
    """The same, read as the host of functions reads: over AMQP."""
    with _azure_ports(OverAmqp, hubs, cosmos_server, blob_server) as make:
        yield make


@pytest.fixture(params=["aws", "azure"])
def make_stack_ports(request):
    """A factory of ports over the services of each cloud."""
    return request.getfixturevalue(f"make_{request.param}_ports")


def _quick():
    """The clock of a module that need not sleep long."""
    return types.SimpleNamespace(time=time.time, sleep=lambda seconds: time.sleep(min(seconds, 0.002)))


@contextlib.contextmanager
def _azure_ports(stream_of, hubs, cosmos_server, blob_server):
    with contextlib.ExitStack() as open_ones:

        def make(receivers, writer):
            stream = stream_of(hubs, new_hubs(hubs, PARTITIONS), PARTITIONS)
            database, tables = database_of(cosmos_server), new_cosmos_tables(cosmos_server)
            container = open_ones.enter_context(container_of(blob_server, new_container(blob_server)))
            open_ones.callback(stream.close)
            open_ones.callback(database.close)
            meter = CosmosMeter(database, tables)
            return _ports(stream, CosmosTables(database, tables), AzureBlobs(container), meter, receivers, writer)

        yield make


def _ports(stream, tables, blobs, meter, receivers, writer):
    return Ports(ClaimChecked(stream, blobs), tables, blobs, meter, contextlib.nullcontext, writer, receivers)
