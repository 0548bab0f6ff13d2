"""Settings of the emulated Azure, and empty stores on it."""

import contextlib
import itertools

from azure.cosmos import CosmosClient, PartitionKey

from tests.emulators.servers import AZURE_ACCOUNT
from watchkeeper.ports import Stored
from watchkeeper.topology import TOPICS
from watchkeeper_azure.event_hubs import EventHubsStream
from watchkeeper_azure.names import SHARD
from watchkeeper_azure.provision import make_tables
from watchkeeper_azure.services import Services
from watchkeeper_azure.settings import Settings

DATABASE = "watchkeeper"
_numbers = itertools.count()


def storage_connection(server):
    """How to reach the blobs of a server; it has an address."""
    name, key = AZURE_ACCOUNT
    endpoint = f"http://{server.address}/{name}"
    return f"DefaultEndpointsProtocol=http;AccountName={name};AccountKey={key};BlobEndpoint={endpoint};"


def container_of(server, name):
    """A client of a container of blobs."""
    return Services(Settings(storage_connection=storage_connection(server), blob_container=name)).blob_container


def new_container(server):
    """The name of a container that is empty."""
    name = f"lake-{next(_numbers)}"
    with container_of(server, name) as container:
        container.create_container()
    return name


def new_tables(server):
    """A prefix, under which there are empty tables; `server` has an address and a key."""
    prefix = f"t{next(_numbers)}-"
    with CosmosClient(f"http://{server.address}", server.key) as client:
        make_tables(client.create_database_if_not_exists(DATABASE), prefix)
    return prefix


def database_of(server):
    """The database of a server, or of what is between it and us."""
    return Services(Settings(cosmos=f"http://{server.address}", cosmos_key=server.key)).cosmos


def new_hubs(server, partitions):
    """A prefix, under which there is a hub for each topic."""
    prefix = f"h{next(_numbers)}-"
    for topic in TOPICS.values():
        server.make_hub(prefix + topic.name, partitions if topic.sharded else 1)
    return prefix


def namespace_of(server):
    """The namespace of a server."""
    return Services(Settings(event_hubs_connection=server.connection)).event_hubs


class ReadBack(EventHubsStream):
    """What was sent, read from the stand-in itself: functions are given it by their host. Places are kept here."""

    def __init__(self, server, prefix, partitions=0):
        super().__init__(namespace_of(server), partitions=partitions, prefix=prefix)
        self._server, self._places = server, {}

    def read(self, topic, partition, after, limit):
        found = self._server.events(self._prefix + topic, partition, after, limit)
        return [Stored(number, int(told.pop(SHARD)), body, told) for number, body, told in found]

    def commit(self, group, topic, partition, offset):
        self._places[group, topic, partition] = offset

    def committed(self, group, topic, partition):
        return self._places.get((group, topic, partition), -1)


@contextlib.contextmanager
def new_container_of_items(url, key):
    """A container that is empty, of a Cosmos DB server, of which one says that it is elsewhere than it is."""
    with CosmosClient(url, key, enable_endpoint_discovery=False, retry_total=0, retry_throttle_total=2) as client:
        database = client.create_database_if_not_exists(f"d{next(_numbers)}")
        policy = {"includedPaths": [{"path": "/sk/?"}], "excludedPaths": [{"path": "/*"}]}
        yield database.create_container("items", PartitionKey("/pk"), indexing_policy=policy, default_ttl=-1)
