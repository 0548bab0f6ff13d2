"""What rag_explain remembers of a shard: which episodes are open, and which reports wait for a model's words."""

from __future__ import annotations

import msgspec

from watchkeeper.codec import StructCodec

VERSION = 1


class Open(msgspec.Struct, array_like=True, frozen=True):
    """An open episode: whose it is, and when (wall time) it was last spoken of."""

    tenant: str
    seen: int


class Waiting(msgspec.Struct, array_like=True, frozen=True):
    """A report that waits for a model's words since `since`, wall time."""

    tenant: str
    episode: str
    since: int


class ExplainState(msgspec.Struct, array_like=True):
    """State of one shard; `open` by episode id."""

    v: int
    open: dict[str, Open]
    waiting: list[Waiting]


EXPLAIN_CODEC = StructCodec(ExplainState, lambda: ExplainState(VERSION, {}, []))
