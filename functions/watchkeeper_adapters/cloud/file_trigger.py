"""Files that were put into the store: inbox/TENANT/NAME.csv, .json, .ndjson or .msgpack becomes readings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from watchkeeper.ids import text_id
from watchkeeper.intake.sent import device_fault
from watchkeeper.outcome import Outcome, RawMessage
from watchkeeper.records import DEFAULT_TENANT, DeadLetter
from watchkeeper.stages.ingest import admit
from watchkeeper.topology import BATCH_DATA_INGESTION

if TYPE_CHECKING:
    from collections import Counter

    from watchkeeper.context import Context
    from watchkeeper.intake.sent import Form
    from watchkeeper_adapters.cloud.container import CloudContainer

log = logging.getLogger(__name__)
INBOX = "inbox/"
LARGEST = 50_000_000
FORMS: Mapping[str, Form] = {
    ".csv": "csv", ".json": "json", ".ndjson": "ndjson", ".jsonl": "ndjson", ".msgpack": "msgpack",
}  # fmt: skip


class File(NamedTuple):
    """A file that was announced; `size` is in bytes.

    By `store` (`s3`, …) and `mark`, which every write changes, it is known when it is announced again.
    """

    store: str
    key: str
    mark: str
    size: int

    @property
    def name(self) -> str:
        """By which it is known."""
        return f"{self.store}:{self.key}@{self.mark}"


Decide = Callable[[File, bytes, "Context"], Outcome]


def take_file(
    file: File, read: Callable[[str], bytes | None], container: CloudContainer, decide: Decide | None = None
) -> Counter[str]:
    """Into the pipeline, or to the dead letters; `decide` says how, if not as readings. Unavailable: not now.

    `read` answers None for what is no longer there. A file that is announced twice is the same readings: they are
    known by device and time, and where they have no time by the file's name, mark and row.
    """
    ingest = container.runner("ingest", None)
    if file.size > LARGEST:
        reason = f"{file.key}: {file.size:,} bytes, and a file may have {LARGEST:,}; divide it"
        return ingest.request(lambda context: refused(file, b"", reason, context))
    body = read(file.key)
    if body is None:
        log.warning("%s is no longer there", file.key)
        return ingest.request(lambda _context: Outcome())
    return ingest.request(lambda context: (decide or _readings)(file, body, context))


def refused(file: File, body: bytes, reason: str, context: Context) -> Outcome:
    """A dead letter: nobody waits for an answer, and what was sent must not be lost."""
    outcome = Outcome(dead=[DeadLetter(text_id("ingest", file.name), "ingest", reason, body, context.now, "http")])
    outcome.counts["accepted"] += 1
    outcome.counts["dead"] += 1
    return outcome


def _readings(file: File, body: bytes, context: Context) -> Outcome:
    path = PurePosixPath(file.key.removeprefix(INBOX))
    tenant = path.parts[0] if len(path.parts) > 1 else DEFAULT_TENANT
    form = FORMS.get(path.suffix.lower())
    if form is None:
        return refused(file, body, f"{file.key}: names that end in {', '.join(FORMS)} are expected", context)
    if fault := device_fault(tenant):
        return refused(file, body, f"{file.key}: the folder names no tenant: {fault}", context)
    unnamed = "" if device_fault(path.stem) else path.stem
    message = RawMessage(body, context.now, tenant, format=form, request=file.name, unnamed=unnamed)
    outcome, (receipt,) = admit([message], BATCH_DATA_INGESTION, context)
    outcome.counts["messages"] += 1
    outcome.counts["bytes_in"] += len(body)
    if receipt.error:
        return refused(file, body, f"{file.key}: {receipt.error}", context)
    return outcome
