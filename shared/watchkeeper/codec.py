"""The codec of states that are one msgspec struct whose first field is its version, `v`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import msgspec

from watchkeeper.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable


class Versioned(Protocol):
    """A state that says which version of its format it is of."""

    v: int


State = TypeVar("State", bound=Versioned)


class StructCodec(Generic[State]):
    """MessagePack of a struct; a state of another version is refused, never guessed at."""

    def __init__(self, kind: type[State], empty: Callable[[], State]) -> None:
        """`empty` makes the state of a shard never seen, in the version of this release."""
        self.empty = empty
        self._name, self._version = kind.__name__, empty().v
        self._encoder, self._decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(kind)

    def encode(self, state: State) -> bytes:
        """See `topology.StateCodec`."""
        return self._encoder.encode(state)

    def decode(self, data: bytes) -> State:
        """See `topology.StateCodec`."""
        try:
            state = self._decoder.decode(data)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            message = f"not a {self._name}: {error}"
            raise StateError(message) from error
        if state.v != self._version:
            message = f"a {self._name} of version {state.v}; this release reads {self._version}"
            raise StateError(message)
        return state
