"""ingest: understands what devices and clients send; good readings go into packs, bad ones become dead letters."""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from watchkeeper.errors import DecodeError
from watchkeeper.ids import device_hash, shard_of, text_id
from watchkeeper.intake.assembly import Assembly, Placed
from watchkeeper.intake.bodies import readings_of
from watchkeeper.intake.sent import Bad, SentReading, device_fault, fault_of, time_of
from watchkeeper.outcome import Delivered, Emit, Outcome, RawMessage
from watchkeeper.records import DeadLetter, Device, Origin
from watchkeeper.topology import IOT_DATA_INGESTION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from watchkeeper.context import Context
    from watchkeeper.knowledge.catalogue import DeviceProfile
    from watchkeeper.topology import Topic

REFUSED = "refused: the budget is spent, and readings of devices of low importance are cut off"


class Rejection(msgspec.Struct, frozen=True):
    """A reading that was not taken: its place in the body, counted from 0, and why."""

    index: int
    reason: str


@dataclasses.dataclass(slots=True)
class Receipt:
    """What became of one body. `error`: nothing of it could be understood, and nothing was kept."""

    accepted: int = 0
    rejected: list[Rejection] = dataclasses.field(default_factory=list)
    shed: int = 0
    error: str = ""


def ingest(batch: Sequence[Delivered], ctx: Context) -> Outcome:
    """Messages of the device hub: the device is the authenticated one, whatever the payload says."""
    messages = [item.record for item in batch if isinstance(item.record, RawMessage)]
    return _ingest(messages, [item.origin for item in batch], IOT_DATA_INGESTION, ctx)[0]


def admit(requests: Sequence[RawMessage], topic: Topic, ctx: Context) -> tuple[Outcome, list[Receipt]]:
    """Bodies of HTTP requests, in which readings name their devices; answers what became of each body too."""
    return _ingest(requests, [None] * len(requests), topic, ctx)


def _ingest(
    messages: Sequence[RawMessage], origins: Sequence[Origin | None], topic: Topic, ctx: Context
) -> tuple[Outcome, list[Receipt]]:
    outcome, assembly, receipts = Outcome(), Assembly(), []
    for message, origin in zip(messages, origins, strict=True):
        receipt = _take(message, origin, assembly, outcome, ctx)
        receipts.append(receipt)
        outcome.counts["accepted"] += receipt.accepted + receipt.shed
    outcome.emits += [Emit(topic, pack.shard, pack) for pack in assembly.packs()]
    outcome.counts["accepted"] += len(outcome.dead)
    outcome.counts["dead"] += len(outcome.dead)
    outcome.counts["shed"] += sum(receipt.shed for receipt in receipts)
    return outcome, receipts


def _take(message: RawMessage, origin: Origin | None, assembly: Assembly, outcome: Outcome, ctx: Context) -> Receipt:
    receipt, profile_of = Receipt(), ctx.bundle.catalogue.profile
    try:
        sent = readings_of(message.body, message.format, message.unnamed)
    except DecodeError as error:
        receipt.error = str(error)
        if origin:  # nobody waits for an answer: what was sent must not be lost
            outcome.dead.append(_dead(message, origin, 0, Bad(message.body, receipt.error), ctx))
        return receipt
    refused = ctx.switches.refuse
    placed: list[Placed] = []
    for index, item in enumerate(sent):
        reading = item if isinstance(item, Bad) else _placed(item, message, origin, index, profile_of)
        if isinstance(reading, Bad):
            receipt.rejected.append(Rejection(index, reading.reason))
            outcome.dead.append(_dead(message, origin, index, reading, ctx))
        elif refused and profile_of(reading.who.device).importance in refused:
            receipt.rejected.append(Rejection(index, REFUSED))
            receipt.shed += 1
        else:
            placed.append(reading)
    if origin and placed:
        assembly.add_message(shard_of(message.tenant, message.device, ctx.shards), placed, origin)
    else:
        of_shard: defaultdict[int, list[Placed]] = defaultdict(list)
        for reading in placed:
            of_shard[shard_of(message.tenant, reading.who.device, ctx.shards)].append(reading)
        for shard, readings in of_shard.items():
            assembly.add(shard, readings)
    receipt.accepted = len(placed)
    return receipt


def _placed(
    sent: SentReading,
    message: RawMessage,
    origin: Origin | None,
    index: int,
    profile_of: Callable[[str], DeviceProfile],
) -> Placed | Bad:
    device = message.device or sent.device
    if reason := device_fault(device) or fault_of(sent):
        return Bad(msgspec.json.encode(sent), reason)
    try:
        ts = time_of(sent.ts)
    except DecodeError as error:
        return Bad(msgspec.json.encode(sent), str(error))
    who = _device(message.tenant, device, profile_of(device).site or sent.site)
    salt = 0 if ts is not None else _salt(message, origin, index)
    return Placed(who, sent, sent.tags_as_text(), ts, message.received, salt)


@functools.lru_cache(maxsize=65_536)
def _device(tenant: str, device: str, site: str) -> Device:
    """One object for a device: its hash is computed once."""
    return Device(tenant, device, site)


def _salt(message: RawMessage, origin: Origin | None, index: int) -> int:
    """Tells readings without a time of their own apart, the same each time they are ingested; never 0."""
    where = f"{origin.source}@{origin.offset}" if origin else message.request
    return (device_hash(where, str(index)) >> 1) | 1


def _dead(message: RawMessage, origin: Origin | None, index: int, bad: Bad, ctx: Context) -> DeadLetter:
    where = (origin.topic, origin.partition, origin.offset) if origin else ("http", 0, 0)
    name = text_id("ingest", *where, message.request, index)
    return DeadLetter(
        name, "ingest", bad.reason, bad.body, ctx.now, *where, index,
        tenant=message.tenant, device=message.device, received=message.received,
    )  # fmt: skip
