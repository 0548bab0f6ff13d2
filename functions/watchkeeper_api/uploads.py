"""Bodies of any length: read slice by slice, each durable before more is read, so that the sender waits, not memory."""

import asyncio
import logging
import time
from http import HTTPStatus

from fastapi import Request
from starlette.requests import ClientDisconnect

from watchkeeper.errors import Conflict, DecodeError, Unavailable
from watchkeeper.intake.sent import Form
from watchkeeper.intake.slices import Slice, Slices
from watchkeeper.outcome import RawMessage
from watchkeeper.stages.ingest import Receipt, Rejection
from watchkeeper.topology import BATCH_DATA_INGESTION
from watchkeeper_api.call import Call
from watchkeeper_api.refusals import RefusedError

log = logging.getLogger(__name__)
LISTED_REJECTIONS = 1_000
HOPELESS = 1_000  # records, all of them rejected, after which no more is read
PAUSE_S = 0.1
PATIENCE_S = 60.0  # with storage that is away; the sender waits meanwhile


class Upload:
    """One body on its way in."""

    def __init__(self, call: Call, form: Form, name: str, *, once: bool, unnamed: str) -> None:
        """`name`: the request's, `once`: its client has given it; `unnamed`: the device of rows that name none."""
        self._call, self._form, self._name, self._once, self._unnamed = call, form, name, once, unnamed
        self.accepted = self.rejected_count = self.shed = 0
        self.rejected: list[Rejection] = []

    async def take(self, request: Request, *, packed: bool) -> None:
        """Take all of it. Refused (400): it cannot be read on; (409): the name was another body's; (503): no storage.

        What had been taken until then stays, and is recognised when the whole comes again under the same name.
        """
        slices = Slices(self._form, packed=packed, most_bytes=self._call.backend.limits.max_upload_bytes)
        try:
            async for chunk in request.stream():
                for piece in slices.feed(chunk):
                    await self._take(piece)
            for piece in slices.end():
                await self._take(piece)
        except DecodeError as error:
            raise self._refused(HTTPStatus.BAD_REQUEST, str(error)) from error
        except ClientDisconnect as error:
            log.info("an upload was cut off; %d readings of it are taken", self.accepted)
            raise self._refused(HTTPStatus.BAD_REQUEST, "the client went away before the body was complete") from error

    async def _take(self, piece: Slice) -> None:
        backend = self._call.backend
        while backend.bulk_waits():  # noqa: ASYNC110 - it is asked of storage, which sets no event
            await asyncio.sleep(PAUSE_S)
        message = RawMessage(
            piece.body, backend.clock(), self._call.tenant, format=piece.form, request=f"{self._name}\0{piece.number}",
            unnamed=self._unnamed, once=self._once,
        )  # fmt: skip
        self._add(await self._patiently(message))
        if not self.accepted + self.shed and self.rejected_count >= HOPELESS:
            why = (
                f"none of the first {self.rejected_count} records could be taken; the first: {self.rejected[0].reason}"
            )
            raise self._refused(HTTPStatus.BAD_REQUEST, why)

    async def _patiently(self, message: RawMessage) -> Receipt:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await self._call.services.intake.take(BATCH_DATA_INGESTION, message)
            except (Unavailable, Conflict):
                if time.monotonic() > until:
                    raise
            except RefusedError as error:
                if error.status != HTTPStatus.TOO_MANY_REQUESTS:
                    raise
            await asyncio.sleep(PAUSE_S)

    def _add(self, receipt: Receipt) -> None:
        if receipt.error:
            raise self._refused(HTTPStatus.BAD_REQUEST, receipt.error)
        if receipt.reused:
            raise self._refused(HTTPStatus.CONFLICT, "this Idempotency-Key was given to another body")
        before = self.accepted + self.rejected_count
        room = LISTED_REJECTIONS - len(self.rejected)
        self.rejected += [Rejection(before + item.index, item.reason) for item in receipt.rejected[:room]]
        self.accepted += receipt.accepted
        self.rejected_count += len(receipt.rejected)
        self.shed += receipt.shed

    def _refused(self, status: HTTPStatus, why: str) -> RefusedError:
        taken = f" ({self.accepted} readings before that are taken)" if self.accepted else ""
        where = "header.Idempotency-Key" if status == HTTPStatus.CONFLICT else "body"
        return RefusedError(status, why + taken, where=where)
