"""Detection models: which is in force and which in shadow, how they compare, and how that came about."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Response

from watchkeeper.model_in_force import Change, Pin, current_pin, model_history, model_versions
from watchkeeper.ports import Blobs
from watchkeeper.shadow.trial import stored_trial
from watchkeeper_api.answers import as_json, documented, json_of
from watchkeeper_api.call import Admitted
from watchkeeper_api.rows import Limit
from watchkeeper_api.schemas import ModelChange, ModelList, ModelShadow

router = APIRouter(prefix="/api/models", tags=["models"])
Earlier = Annotated[int, Query(ge=0, description="Only changes before this one: `next` of the last answer.")]


@router.get("", responses=documented(json_of(ModelList), HTTPStatus.BAD_REQUEST))
def models(call: Admitted, before: Earlier = 0, limit: Limit = 100) -> Response:
    """Answer which detection model is in force and which in shadow, and every change of that, newest first."""
    blobs = call.backend.ports.blobs
    pin = current_pin(blobs)
    changes = model_history(blobs, before, limit)
    answer = ModelList(
        version=pin.version,
        previous=pin.previous,
        pinned=pin.pinned,
        shadow=_shadow(blobs, pin),
        stored=model_versions(blobs),
        changes=[_told(change) for change in changes],
        next=changes[-1].number if changes and changes[-1].number > 1 else 0,
    )
    return as_json(answer)


def _shadow(blobs: Blobs, pin: Pin) -> ModelShadow | None:
    """The comparison, without the devices that it is made on: they are their tenants' own."""
    if not pin.candidate:
        return None
    trial, _ = stored_trial(blobs, pin.candidate)
    if trial is None:
        return ModelShadow(pin.candidate, pin.learnt, "waiting")
    done, whole = trial.devices_done + trial.reviews_done, len(trial.devices) + len(trial.reviews)
    return ModelShadow(
        pin.candidate, pin.learnt, trial.state, trial.against, done, whole, trial.counts, list(trial.why)
    )


def _told(change: Change) -> ModelChange:
    return ModelChange(*(getattr(change, name) for name in ModelChange.__struct_fields__))
