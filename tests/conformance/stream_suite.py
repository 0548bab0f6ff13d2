"""What every Stream promises. An adapter inherits the class and supplies the fixture `stream`: an empty one.

Offsets need only increase, not be dense. Topics are those of the pipeline; their number of partitions is the adapter's.
"""

from abc import ABC, abstractmethod
from functools import partial
from itertools import pairwise

import pytest

from tests.conformance.racing import at_once
from watchkeeper.ports import Message, Stored, Stream
from watchkeeper.topology import DASHBOARD_ALERTS, DATA_PROCESSING_OUTPUT, RULE_CHECK_OUTPUT

TOPIC = DATA_PROCESSING_OUTPUT.name
OTHER = RULE_CHECK_OUTPUT.name
UNSHARDED = DASHBOARD_ALERTS.name
PLENTY = 10_000
EVERY_BYTE = bytes(range(256))


def everything(stream: Stream, topic: str = TOPIC) -> dict[int, list[Stored]]:
    """All messages of a topic, by partition."""
    return {number: stream.read(topic, number, -1, PLENTY) for number in range(stream.partitions(topic))}


def of_shard(stream: Stream, shard: int, topic: str = TOPIC) -> list[Stored]:
    """All messages of a shard's partition."""
    return stream.read(topic, shard % stream.partitions(topic), -1, PLENTY)


class StreamSuite(ABC):
    @pytest.fixture
    @abstractmethod
    def stream(self) -> Stream: ...

    def test_a_new_topic_is_empty_and_nobody_has_committed(self, stream):
        assert not any(everything(stream).values())
        assert stream.committed("clean", TOPIC, 0) == -1

    def test_messages_of_a_partition_come_back_in_the_order_they_were_appended(self, stream):
        for call in range(3):
            stream.append(TOPIC, [Message(5, b"%d" % (10 * call + place)) for place in range(10)])
        stored = of_shard(stream, 5)
        assert [message.value for message in stored] == [b"%d" % number for number in range(30)]
        assert all(earlier.offset < later.offset for earlier, later in pairwise(stored))
        assert stored[0].offset >= 0

    def test_a_shard_lives_in_the_partition_of_its_number(self, stream):
        stream.append(TOPIC, [Message(shard, b"%d" % shard) for shard in range(64)])
        count = stream.partitions(TOPIC)
        for number, stored in everything(stream).items():
            assert [message.shard for message in stored] == list(range(number, 64, count))
            assert [message.value for message in stored] == [b"%d" % shard for shard in range(number, 64, count)]

    def test_every_sharded_topic_has_the_same_number_of_partitions(self, stream):
        assert stream.partitions(TOPIC) == stream.partitions(OTHER) >= 1

    def test_a_topic_that_is_not_sharded_has_one_partition_for_all_shards(self, stream):
        assert stream.partitions(UNSHARDED) == 1
        stream.append(UNSHARDED, [Message(shard, b"%d" % shard) for shard in range(20)])
        stored = stream.read(UNSHARDED, 0, -1, PLENTY)
        assert [(message.shard, message.value) for message in stored] == [(n, b"%d" % n) for n in range(20)]

    @pytest.mark.parametrize(
        "value", [b"", b"\0", EVERY_BYTE, EVERY_BYTE * 1000], ids=["empty", "nul", "all", "250 KB"]
    )
    def test_a_value_is_any_bytes(self, stream, value):
        stream.append(TOPIC, [Message(1, value)])
        assert [message.value for message in of_shard(stream, 1)] == [value]

    def test_headers_come_back_and_need_not_be_there(self, stream):
        headers = {
            "tenant": "default",
            "device": "pump-7",
            "received": "1700000000000",
            "note": 'Größe = 1 µm, "x"; 日本',
        }
        stream.append(TOPIC, [Message(1, b"with", headers), Message(1, b"without")])
        assert [dict(message.headers) for message in of_shard(stream, 1)] == [headers, {}]

    def test_reading_goes_on_after_an_offset_and_stops_at_the_limit(self, stream):
        stream.append(TOPIC, [Message(2, b"%d" % number) for number in range(7)])
        stored, partition = of_shard(stream, 2), 2 % stream.partitions(TOPIC)
        assert stream.read(TOPIC, partition, -1, 3) == stored[:3]
        assert stream.read(TOPIC, partition, stored[2].offset, 3) == stored[3:6]
        assert stream.read(TOPIC, partition, stored[5].offset, 3) == stored[6:]
        assert stream.read(TOPIC, partition, stored[6].offset, 3) == []

    def test_what_is_appended_later_is_read_later(self, stream):
        stream.append(TOPIC, [Message(2, b"early")])
        (early,) = of_shard(stream, 2)
        stream.append(TOPIC, [Message(2, b"late")])
        (late,) = stream.read(TOPIC, 2 % stream.partitions(TOPIC), early.offset, PLENTY)
        assert late.value == b"late"

    def test_appending_nothing_changes_nothing(self, stream):
        stream.append(TOPIC, [])
        assert not any(everything(stream).values())

    def test_topics_know_nothing_of_each_other(self, stream):
        stream.append(TOPIC, [Message(0, b"here")])
        stream.commit("clean", TOPIC, 0, of_shard(stream, 0)[0].offset)
        assert not any(everything(stream, OTHER).values())
        assert stream.committed("clean", OTHER, 0) == -1

    def test_every_group_has_its_own_place_in_every_partition(self, stream):
        stream.append(TOPIC, [Message(0, b"%d" % number) for number in range(4)])
        offsets = [message.offset for message in of_shard(stream, 0)]
        stream.commit("store", TOPIC, 0, offsets[1])
        stream.commit("audit", TOPIC, 0, offsets[0])
        stream.commit("store", TOPIC, 0, offsets[3])
        assert stream.committed("store", TOPIC, 0) == offsets[3]
        assert stream.committed("audit", TOPIC, 0) == offsets[0]
        assert stream.committed("somebody else", TOPIC, 0) == -1
        assert all(stream.committed("store", TOPIC, number) == -1 for number in range(1, stream.partitions(TOPIC)))

    def test_what_is_committed_can_still_be_read(self, stream):
        stream.append(TOPIC, [Message(0, b"once")])
        (message,) = of_shard(stream, 0)
        stream.commit("clean", TOPIC, 0, message.offset)
        assert of_shard(stream, 0) == [message]

    def test_appending_at_once_loses_nothing_and_keeps_each_writers_order(self, stream):
        def write(writer: int) -> None:
            for number in range(0, 60, 3):
                stream.append(TOPIC, [Message(n % 5, b"%d:%d" % (writer, n)) for n in range(number, number + 3)])

        at_once([partial(write, writer) for writer in range(4)])
        stored = everything(stream)
        for partition, messages in stored.items():
            offsets = [message.offset for message in messages]
            assert offsets == sorted(set(offsets))
            for writer in range(4):
                mine = [int(m.value.split(b":")[1]) for m in messages if m.value.startswith(b"%d:" % writer)]
                assert mine == [n for n in range(60) if n % 5 % len(stored) == partition]
