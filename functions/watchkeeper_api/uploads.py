"""Bodies of any length: read slice by slice, each durable before more is read, so that the sender waits, not memory."""

import asyncio
import logging
import time
from http import HTTPStatus

from fastapi import Request
from starlette.requests import ClientDisconnect

from watchkeeper.admission import Taken
from watchkeeper.errors import Conflict, DecodeError, Unavailable
from watchkeeper.intake.sent import Form
from watchkeeper.intake.slices import Slice, Slices
from watchkeeper.outcome import RawMessage
from watchkeeper.stages.ingest import Receipt
from watchkeeper.topology import BATCH_DATA_INGESTION
from watchkeeper_api.call import Call
from watchkeeper_api.refusals import RefusedError

log = logging.getLogger(__name__)
PAUSE_S = 0.1
PATIENCE_S = 60.0  # with storage that is away; the sender waits meanwhile


class Upload:
    """One body on its way in."""

    def __init__(self, call: Call, form: Form, name: str, *, once: bool, unnamed: str) -> None:
        """`name`: the request's, `once`: its client has given it; `unnamed`: the device of rows that name none."""
        self._call, self._form, self._name, self._once, self._unnamed = call, form, name, once, unnamed
        self.taken = Taken()

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
            log.info("an upload was cut off; %d readings of it are taken", self.taken.accepted)
            raise self._refused(HTTPStatus.BAD_REQUEST, "the client went away before the body was complete") from error

    async def _take(self, piece: Slice) -> None:
        backend = self._call.backend
        while backend.bulk_waits():  # noqa: ASYNC110 - it is asked of storage, which sets no event
            await asyncio.sleep(PAUSE_S)
        message = RawMessage(
            piece.body, backend.clock(), self._call.tenant, format=piece.form, request=f"{self._name}\0{piece.number}",
            unnamed=self._unnamed, once=self._once,
        )  # fmt: skip
        receipt = await self._patiently(message)
        if receipt.reused:
            raise self._refused(HTTPStatus.CONFLICT, "this Idempotency-Key was given to another body")
        self.taken.add(receipt)

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

    def _refused(self, status: HTTPStatus, why: str) -> RefusedError:
        taken = f" ({self.taken.accepted} readings before that are taken)" if self.taken.accepted else ""
        where = "header.Idempotency-Key" if status == HTTPStatus.CONFLICT else "body"
        return RefusedError(status, why + taken, where=where)
