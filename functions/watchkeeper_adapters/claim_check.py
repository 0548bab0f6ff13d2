"""Messages that are too large for a stream: the bytes go into a blob, and a message says where they are.

Only dead letters grow so large: they hold what was sent, and an HTTP body may have 10 MB.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from watchkeeper.errors import DecodeError
from watchkeeper.ports import Blobs, Message, Stored, Stream

HEADER = "in-blob"
FOLDER = "dead-letters/"
LARGEST = 900_000


class ClaimChecked:
    """A stream that keeps messages of more than `largest` bytes in blobs; who reads gets them whole."""

    def __init__(self, stream: Stream, blobs: Blobs, largest: int = LARGEST) -> None:
        self._stream, self._blobs, self._largest = stream, blobs, largest

    def partitions(self, topic: str) -> int:
        return self._stream.partitions(topic)

    def append(self, topic: str, messages: Sequence[Message]) -> None:
        self._stream.append(topic, [self._checked_in(topic, message) for message in messages])

    def read(self, topic: str, partition: int, after: int, limit: int) -> list[Stored]:
        return [whole(message, self._blobs) for message in self._stream.read(topic, partition, after, limit)]

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        self._stream.commit(group, topic, partition, offset)

    def committed(self, group: str, topic: str, partition: int) -> int:
        return self._stream.committed(group, topic, partition)

    def _checked_in(self, topic: str, message: Message) -> Message:
        if len(message.value) <= self._largest:
            return message
        # Named by its content: what is appended again after a crash is the same object.
        key = f"{FOLDER}{topic}/{hashlib.sha256(message.value).hexdigest()}"
        self._blobs.put(key, message.value)
        return Message(message.shard, b"", {**message.headers, HEADER: key})


def whole(message: Stored, blobs: Blobs) -> Stored:
    """The message with its bytes. A device cannot point to a blob: only what has no bytes and names our folder does.

    DecodeError: the blob is gone.
    """
    key = message.headers.get(HEADER, "")
    if message.value or not key.startswith(FOLDER):
        return message
    held = blobs.get_many([key]).get(key)
    if held is None:
        text = f"the bytes of a large message should be in {key}, and are gone"
        raise DecodeError(text)
    rest = {name: value for name, value in message.headers.items() if name != HEADER}
    return Stored(message.offset, message.shard, held.data, rest)
