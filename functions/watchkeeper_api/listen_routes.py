"""Where who wants to be told of alerts at once, and not by asking, can listen."""

from http import HTTPStatus

from fastapi import APIRouter, Response

from watchkeeper_api.answers import as_json, documented, json_of
from watchkeeper_api.call import Admitted
from watchkeeper_api.refusals import RefusedError
from watchkeeper_api.schemas import Invitation

router = APIRouter(prefix="/api/listen", tags=["alerts"])


@router.get("", responses=documented(json_of(Invitation), HTTPStatus.NOT_FOUND))
def listen(call: Admitted) -> Response:
    """Answer where a client may listen by WebSocket to the alerts of its tenant, for a few minutes."""
    invite = call.backend.invite
    if invite is None:
        text = "this runtime gives no address to listen at; ask GET /api/alerts now and then"
        raise RefusedError(HTTPStatus.NOT_FOUND, text)
    return as_json(invite(call.client), headers={"Cache-Control": "no-store"})
