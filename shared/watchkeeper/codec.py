"""How states become bytes: MessagePack of a struct whose first field is its version, `v`; earlier ones are migrated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import msgspec

from watchkeeper.errors import StateError
from watchkeeper.migration import Upgrades, migrated

if TYPE_CHECKING:
    from collections.abc import Callable


class Versioned(Protocol):
    """A state that says which version of its format it is of."""

    v: int


State = TypeVar("State", bound=Versioned)
NOTHING: Upgrades = {}


class _Head(msgspec.Struct, array_like=True):
    """The beginning of any such struct."""

    v: int


_read_head = msgspec.msgpack.Decoder(_Head).decode
_read_any = msgspec.msgpack.Decoder().decode
_encode = msgspec.msgpack.Encoder().encode


class Format(Generic[State]):
    """The bytes of one kind of struct (`array_like`, `v` first) in its present version, read in all earlier ones too.

    An upgrade takes the struct as a list and answers it as the next version has it; its first item need not be changed.
    """

    def __init__(self, kind: type[State], version: int, what: str, upgrades: Upgrades = NOTHING) -> None:
        """`what` says in errors what it is: `a state of clean`."""
        self.version, self.what, self.upgrades = version, what, upgrades
        self._decoder = msgspec.msgpack.Decoder(kind)

    def encode(self, struct: State) -> bytes:
        """Bytes of a struct, which has the present version."""
        return _encode(struct)

    def decode(self, data: bytes) -> State:
        """The struct in bytes of this or an earlier version. StateError: they are none, or of a later one."""
        found = self.version_of(data)
        try:
            if found == self.version:
                return self._decoder.decode(data)
            content = migrated(_read_any(data), found, self.version, self.upgrades, self.what, StateError)
            return self._decoder.decode(_encode([self.version, *content[1:]]))
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError, TypeError) as error:
            message = f"not {self.what}: {error}"
            raise StateError(message) from error

    def version_of(self, data: bytes) -> int:
        """The version that bytes say they are of. StateError: they say none."""
        try:
            return _read_head(data).v
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            message = f"not {self.what}: {error}"
            raise StateError(message) from error


class StructCodec(Generic[State]):
    """The codec of states that are one such struct. See `topology.StateCodec`."""

    def __init__(self, kind: type[State], empty: Callable[[], State], upgrades: Upgrades = NOTHING) -> None:
        """`empty` makes the state of a shard never seen, in the version of this release; `upgrades`: see `Format`."""
        self.empty = empty
        self._format = Format(kind, empty().v, f"a {kind.__name__}", upgrades)
        self.encode, self.decode, self.version_of = self._format.encode, self._format.decode, self._format.version_of
        self.version = self._format.version
