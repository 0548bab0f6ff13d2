"""The memory adapters are held to what the others are; they claim no atomicity."""

import pytest

from tests.conformance.blobs_suite import BlobsSuite
from tests.conformance.meter_suite import MeterSuite
from tests.conformance.stream_suite import StreamSuite
from tests.conformance.tables_suite import TablesSuite
from watchkeeper.memory import memory_ports


class TestMemoryStream(StreamSuite):
    @pytest.fixture(params=[1, 4], ids=["one partition", "four partitions"])
    def stream(self, request):
        return memory_ports(request.param).stream


class TestMemoryTables(TablesSuite):
    @pytest.fixture
    def tables(self):
        return memory_ports().tables


class TestMemoryBlobs(BlobsSuite):
    @pytest.fixture
    def blobs(self):
        return memory_ports().blobs


class TestMemoryMeter(MeterSuite):
    @pytest.fixture
    def meter(self):
        return memory_ports().meter
