"""The SQLite adapters are held to what the others are, as those who answer devices open them and as workers do."""

import pytest

from tests.conformance.blobs_suite import BlobsSuite
from tests.conformance.meter_suite import MeterSuite
from tests.conformance.stream_suite import StreamSuite
from tests.conformance.tables_suite import TablesSuite
from tests.conformance.transaction_suite import TransactionSuite
from watchkeeper_local.sqlite import open_ports


@pytest.fixture
def ports(tmp_path):
    ports = open_ports(tmp_path, partitions=4, shards=64, durable=False)
    yield ports
    ports.close()


class TestSqliteStream(StreamSuite):
    @pytest.fixture(params=[1, 4], ids=["one partition", "four partitions"])
    def stream(self, request, tmp_path):
        ports = open_ports(tmp_path, partitions=request.param, shards=64)
        yield ports.stream
        ports.close()


class TestSqliteTables(TablesSuite):
    @pytest.fixture
    def tables(self, ports):
        return ports.tables


class TestSqliteBlobs(BlobsSuite):
    @pytest.fixture
    def blobs(self, ports):
        return ports.blobs


class TestSqliteMeter(MeterSuite):
    @pytest.fixture
    def meter(self, ports):
        return ports.meter


class TestSqliteTransaction(TransactionSuite):
    @pytest.fixture
    def ports(self, ports):
        return ports
