"""Settings of the emulated Azure, and empty stores on it."""

import itertools

from azure.cosmos import CosmosClient

from tests.emulators.servers import AZURE_ACCOUNT
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
