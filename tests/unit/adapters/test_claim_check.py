"""Messages too large for a stream go by way of a blob."""

import pytest

from tests.conformance.stream_suite import StreamSuite
from watchkeeper.errors import DecodeError
from watchkeeper.memory import MemoryBlobs, MemoryStream
from watchkeeper.ports import Message
from watchkeeper.topology import DEAD_LETTER, DEVICE_TELEMETRY
from watchkeeper_adapters.claim_check import FOLDER, HEADER, ClaimChecked

TOPIC = DEAD_LETTER.name


class TestClaimChecked(StreamSuite):
    @pytest.fixture
    def stream(self):
        return ClaimChecked(MemoryStream(), MemoryBlobs(), largest=100)


def test_a_large_message_is_kept_once_and_comes_back_whole_with_its_headers():
    inner, blobs = MemoryStream(), MemoryBlobs()
    stream = ClaimChecked(inner, blobs, largest=100)
    for _ in range(2):
        stream.append(TOPIC, [Message(0, bytes(1000), {"device": "pump-07"}), Message(0, b"small")])
    assert [len(message.value) for message in inner.read(TOPIC, 0, -1, 9)] == [0, 5, 0, 5]
    assert len(blobs.list(FOLDER)) == 1
    large, _, _, _ = stream.read(TOPIC, 0, -1, 9)
    assert (large.value, large.headers) == (bytes(1000), {"device": "pump-07"})


@pytest.mark.parametrize("message", [Message(0, b"x", {HEADER: FOLDER + "a"}), Message(0, b"", {HEADER: "state/a"})])
def test_a_device_cannot_have_blobs_read(message):
    blobs = MemoryBlobs()
    for key in (FOLDER + "a", "state/a"):
        blobs.put(key, b"secret")
    stream = ClaimChecked(MemoryStream(), blobs)
    stream.append(DEVICE_TELEMETRY.name, [message])
    assert stream.read(DEVICE_TELEMETRY.name, 0, -1, 9)[0].value == message.value


def test_bytes_that_are_gone_are_said():
    inner = MemoryStream()
    inner.append(TOPIC, [Message(0, b"", {HEADER: FOLDER + "dead-letter/gone"})])
    with pytest.raises(DecodeError, match="dead-letters/dead-letter/gone, and are gone"):
        ClaimChecked(inner, MemoryBlobs()).read(TOPIC, 0, -1, 9)
