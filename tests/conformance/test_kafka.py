"""The Kafka adapter over a real broker is held to what the others are."""

import itertools

import pytest

from tests.conformance.stream_suite import StreamSuite
from watchkeeper_adapters.kafka.connection import Connection
from watchkeeper_adapters.kafka.stream import KafkaStream
from watchkeeper_adapters.kafka.topics import make_topics

numbers = itertools.count()


class TestKafkaStream(StreamSuite):
    @pytest.fixture(params=[1, 4], ids=["one partition", "four partitions"])
    def stream(self, request, kafka_server):
        connection = Connection(brokers=kafka_server.address)
        prefix = f"conformance-{next(numbers)}-"
        make_topics(connection, request.param, prefix=prefix)
        stream = KafkaStream(connection, prefix=prefix)
        yield stream
        stream.close()
