"""Which model is in force, which one is in shadow, and how that came about: a record of every change, for ever.

One small blob, CURRENT_MODEL, says what is in force; it is moved by compare-and-swap and carries the last change with
it, so that a change and its record are one write. The record of its own is written right after; if the process ends
in between, whoever makes the next change, or asks for the history, finds it in the pointer.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal

import msgspec

from watchkeeper.errors import Conflict, ModelError
from watchkeeper.outcome import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from watchkeeper.detection.model import Model
    from watchkeeper.ports import Blobs

CURRENT_MODEL = "models/current"
RETRAIN = "retrain"  # who changes what nobody has asked for
TRIES = 5

What = Literal["trained", "shadowed", "promoted", "refused", "pinned", "unpinned", "rolled back"]


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was done `at` a time (epoch ms) with a `model`, by whom and why; in force `before` and `after` it.

    `number` counts them from 1 on, without gaps. A model of "": none, readings are scored by their devices' past alone.
    """

    number: int
    at: int
    what: What
    by: str
    model: str
    before: str
    after: str
    why: str = ""


class Pin(msgspec.Struct, frozen=True, omit_defaults=True):
    """The model in force, the one before it, and whether retraining may replace it; the one in shadow, if there is.

    `learnt` is when a model was learnt last, epoch ms; `changes` how many there were, of which `last` is the latest.
    """

    version: str
    previous: str = ""
    pinned: bool = False
    candidate: str = ""
    learnt: int = 0
    changes: int = 0
    last: Change | None = None


class Who(msgspec.Struct, frozen=True):
    """Who changes something, when (epoch ms), and why."""

    by: str
    at: int
    why: str = ""


def model_key(version: str) -> str:
    """Where a model is."""
    return f"models/{version}.model"


def current_pin(blobs: Blobs) -> Pin:
    """Which model is in force; an empty version: none yet."""
    return _held(blobs)[0]


def model_versions(blobs: Blobs) -> list[str]:
    """The versions of all stored models."""
    names = (key.removeprefix("models/") for key in blobs.list("models/"))
    return [name.removesuffix(".model") for name in names if name.endswith(".model")]


def put_in_shadow(blobs: Blobs, model: Model, who: Who) -> Pin:
    """Store a new model and make it the candidate, in place of an earlier one; what is in force stays so."""
    blobs.put(model_key(model.version), model.encode())

    def decide(pin: Pin) -> Pin:
        return msgspec.structs.replace(pin, candidate=model.version, learnt=who.at)

    return _change(blobs, "trained", model.version, who, decide)[0]


def note_shadowed(blobs: Blobs, candidate: str, who: Who) -> None:
    """Say that the candidate and the model in force are now compared, and on what."""
    _change(blobs, "shadowed", candidate, who, lambda pin: pin if pin.candidate == candidate else None)


def promote_candidate(blobs: Blobs, candidate: str, against: str, who: Who) -> bool:
    """Put a candidate in force that was compared with `against`; False: somebody has decided otherwise meanwhile."""

    def decide(pin: Pin) -> Pin | None:
        if pin.pinned or pin.version != against or pin.candidate != candidate:
            return None
        return _in_force(pin, candidate, pinned=False)

    return _change(blobs, "promoted", candidate, who, decide)[1]


def refuse_candidate(blobs: Blobs, candidate: str, against: str, who: Who) -> bool:
    """End a candidate's time in shadow; it stays stored. False: somebody has decided otherwise meanwhile."""

    def decide(pin: Pin) -> Pin | None:
        if pin.version != against or pin.candidate != candidate:
            return None
        return msgspec.structs.replace(pin, candidate="")

    return _change(blobs, "refused", candidate, who, decide)[1]


def promote_model(blobs: Blobs, model: str, who: Who) -> Pin:
    """Put a stored model in force, whatever was found in shadow. ModelError: no such model, or another is pinned."""
    _check_stored(blobs, model)

    def decide(pin: Pin) -> Pin:
        if pin.pinned and pin.version != model:
            message = f"{pin.version} is pinned; `watchkeeper models unpin` first, or pin {model} instead"
            raise ModelError(message)
        return _in_force(pin, model, pinned=pin.pinned)

    return _change(blobs, "promoted", model, who, decide)[0]


def pin_model(blobs: Blobs, model: str, who: Who) -> Pin:
    """Put a stored model in force and keep it. ModelError: no such model."""
    _check_stored(blobs, model)
    return _change(blobs, "pinned", model, who, lambda pin: _in_force(pin, model, pinned=True))[0]


def unpin_model(blobs: Blobs, who: Who) -> Pin:
    """Let retraining go on. ModelError: no model is in force."""

    def decide(pin: Pin) -> Pin:
        if not pin.version:
            message = "no model is in force, so none is pinned"
            raise ModelError(message)
        return msgspec.structs.replace(pin, pinned=False)

    return _change(blobs, "unpinned", "", who, decide)[0]


def roll_back_model(blobs: Blobs, who: Who) -> Pin:
    """Put the model before the present one in force, and pin it. ModelError: there is none, or no longer."""

    def decide(pin: Pin) -> Pin:
        if not pin.previous:
            message = "there is no earlier model to roll back to"
            raise ModelError(message)
        _check_stored(blobs, pin.previous)
        return _in_force(pin, pin.previous, pinned=True)

    return _change(blobs, "rolled back", "", who, decide)[0]


def model_history(blobs: Blobs, before: int = 0, limit: int = 100) -> list[Change]:
    """Up to `limit` changes, newest first; `before`: only those with a lower number. 0: from the latest on."""
    pin = current_pin(blobs)
    newest = pin.changes if before <= 0 else min(before - 1, pin.changes)
    keys = [_record_key(number) for number in range(newest, max(newest - limit, 0), -1)]
    held = blobs.get_many(keys) if keys else {}
    found = [msgspec.json.decode(held[key].data, type=Change) for key in keys if key in held]
    if pin.last is not None and keys and keys[0] == _record_key(pin.last.number) and keys[0] not in held:
        found.insert(0, pin.last)
    return found


def _change(blobs: Blobs, what: What, model: str, who: Who, decide: Callable[[Pin], Pin | None]) -> tuple[Pin, bool]:
    """Move the pointer to what is decided over what it says at that moment, with the record of it; None: not at all.

    `model` of "": the one in force afterwards. Conflict: others have changed it five times in a row.
    """
    for _ in range(TRIES):
        before, version = _held(blobs)
        after = decide(before)
        if after is None:
            return before, False
        number = before.changes + 1
        made = Change(number, who.at, what, who.by, model or after.version, before.version, after.version, who.why)
        after = msgspec.structs.replace(after, changes=number, last=made)
        if before.last is not None:
            _record(blobs, before.last)
        try:
            blobs.put(CURRENT_MODEL, msgspec.json.encode(after), version)
        except Conflict:
            continue
        _record(blobs, made)
        return after, True
    message = f"others change which model is in force again and again; {what} was not done, try it again"
    raise Conflict(message)


def _in_force(pin: Pin, model: str, *, pinned: bool) -> Pin:
    """The same with a model in force, which is no candidate any more."""
    previous = pin.previous if pin.version == model else pin.version
    candidate = "" if pin.candidate == model else pin.candidate
    return msgspec.structs.replace(pin, version=model, previous=previous, pinned=pinned, candidate=candidate)


def _check_stored(blobs: Blobs, model: str) -> None:
    if not blobs.versions([model_key(model)]):
        known = ", ".join(model_versions(blobs)) or "none"
        message = f"there is no model {model!r}; stored are: {known}"
        raise ModelError(message)


def _record_key(number: int) -> str:
    return f"models/history/{number:08d}.json"


def _record(blobs: Blobs, change: Change) -> None:
    with contextlib.suppress(Conflict):  # it is there already, and is never written anew
        blobs.put(_record_key(change.number), msgspec.json.encode(change), ABSENT)


def _held(blobs: Blobs) -> tuple[Pin, str | None]:
    held = blobs.get_many([CURRENT_MODEL]).get(CURRENT_MODEL)
    return (msgspec.json.decode(held.data, type=Pin), held.version) if held else (Pin(""), ABSENT)
