"""The adapters of Azure over emulators of its protocols are held to what the others are."""

import functools

import pytest
from azure.storage.blob import ContainerClient

from tests.conformance.blobs_suite import BlobsSuite
from tests.conformance.meter_suite import MeterSuite
from tests.conformance.stream_suite import StreamSuite
from tests.conformance.tables_suite import TablesSuite
from tests.emulators.azure import ReadBack, container_of, database_of, new_container, new_hubs, new_tables
from watchkeeper_azure.blobs import AzureBlobs
from watchkeeper_azure.meter import CosmosMeter
from watchkeeper_azure.tables import CosmosTables


class TestEventHubsStream(StreamSuite):
    @pytest.fixture(params=[1, 4], ids=["one partition", "four partitions"])
    def stream(self, request, hubs):
        stream = ReadBack(hubs, new_hubs(hubs, request.param))
        yield stream
        stream.close()


@pytest.fixture
def database(cosmos_server):
    database = database_of(cosmos_server)
    yield database
    database.close()


class TestCosmosTables(TablesSuite):
    @pytest.fixture
    def tables(self, cosmos_server, database):
        return CosmosTables(database, new_tables(cosmos_server), {"devices": 3600.0})


class TestCosmosMeter(MeterSuite):
    @pytest.fixture
    def meter(self, cosmos_server, database):
        return CosmosMeter(database, new_tables(cosmos_server))


class TestAzureBlobs(BlobsSuite):
    LONG = 120

    @pytest.fixture
    def blobs(self, blob_server, monkeypatch):
        names = functools.partialmethod(ContainerClient.list_blob_names, results_per_page=50)
        monkeypatch.setattr(ContainerClient, "list_blob_names", names)
        with container_of(blob_server, new_container(blob_server)) as container:
            yield AzureBlobs(container, "some/where/")
