"""A new model's way into force: learnt, in shadow while data come that it cannot have learnt, compared, decided.

Effects in order: the comparison, part by part; its verdict; then the pointer with the record of the change. A process
that ends in between is gone on from there. The pointer moves by compare-and-swap, and only if the model that was
compared with is still in force and not pinned: what a person decides meanwhile stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from watchkeeper.class_knowledge import latest_classes
from watchkeeper.errors import Conflict, ModelError
from watchkeeper.model_in_force import (
    RETRAIN,
    Who,
    current_pin,
    note_shadowed,
    promote_candidate,
    put_in_shadow,
    refuse_candidate,
)
from watchkeeper.reprocessing.work import stored_model
from watchkeeper.shadow.trial import DAY_MS, Models, Trial, next_part, plan_trial, stored_trial, trial_key
from watchkeeper.shadow.verdict import account_of, name_of, objections

if TYPE_CHECKING:
    from collections.abc import Callable

    from watchkeeper.detection.model import Model
    from watchkeeper.knowledge.bundle import Bundle
    from watchkeeper.model_in_force import Pin
    from watchkeeper.ports import Blobs, Ports

HOUR_MS = 3_600_000
PART_MS = 150_000  # without so much time left no part of a comparison is begun
STALE_MS = 7 * DAY_MS  # after which a candidate that nobody could judge is no longer waited for


class Standing(NamedTuple):
    """Where the candidate stands, and why, in words with numbers. `none`: there is no candidate."""

    state: Literal["none", "waiting", "comparing", "promoted", "refused"]
    candidate: str = ""
    why: str = ""

    def __str__(self) -> str:
        """For people."""
        return f"model {self.candidate} is {self.state}: {self.why}" if self.candidate else "no model is in shadow"


class Shadow(NamedTuple):
    """What it is done over: a bundle for the times of devices, and how long (ms) data must come that a model never saw.

    `now` is epoch ms, `left_ms` how much time there is for it.
    """

    ports: Ports
    bundle: Bundle
    shards: int
    shadow_ms: int
    now: int
    left_ms: Callable[[], int]


def learn_candidate(ports: Ports, shards: int, now: int, why: str = "", by: str = RETRAIN) -> Model:
    """Learn a model and put it in shadow; this alone loads scikit-learn. ModelError: too little to learn from."""
    from watchkeeper.stages.retrain import retrain

    model = retrain(ports, shards, now)
    before = current_pin(ports.blobs).candidate
    instead = f"; in place of {before}, which was not decided on" if before else ""
    put_in_shadow(ports.blobs, model, Who(by, now, f"{why}learnt from {model.rows} readings{instead}"))
    return model


def is_awaited(pin: Pin, now: int) -> bool:
    """Is a candidate in shadow that is to be decided on before another model is learnt?"""
    return bool(pin.candidate) and now < pin.learnt + STALE_MS


def judge(shadow: Shadow) -> Standing:
    """Go on with the candidate as far as data and time allow; what became of it. StateError: damaged data."""
    blobs = shadow.ports.blobs
    pin = current_pin(blobs)
    if not pin.candidate:
        return Standing("none")
    hours, age = f"{shadow.shadow_ms / HOUR_MS:g} hours", shadow.now - pin.learnt
    if age < shadow.shadow_ms:
        return Standing("waiting", pin.candidate, f"in shadow for {age / HOUR_MS:.1f} of {hours}")
    try:
        found = _trial(shadow, pin, hours)
        return found if isinstance(found, Standing) else _compared(shadow, pin, *found)
    except ModelError as error:
        return _refused(shadow, pin, f"it cannot be compared: {error}")
    except Conflict:
        return Standing("comparing", pin.candidate, "another process compares it, too")


def _trial(shadow: Shadow, pin: Pin, hours: str) -> tuple[Trial, str | None] | Standing:
    """The comparison with the model that is in force now, as far as it has come; or why there can be none yet."""
    blobs = shadow.ports.blobs
    trial, version = stored_trial(blobs, pin.candidate)
    if trial is not None and trial.against == pin.version:
        return trial, version
    trial = plan_trial(shadow.ports, shadow.bundle, shadow.shards, pin, shadow.now)
    heard = trial.newest - trial.trained
    if shadow.shadow_ms and heard < shadow.shadow_ms:
        told = f"devices were heard for {max(0, heard) / HOUR_MS:.1f} of {hours} since it was learnt"
        return Standing("waiting", pin.candidate, told)
    version = _save(blobs, trial, version)
    on = f"on {len(trial.devices)} devices and {len(trial.reviews)} reviewed episodes"
    note_shadowed(blobs, trial.candidate, Who(RETRAIN, shadow.now, f"beside {name_of(trial.against)} {on}"))
    return trial, version


def _models(blobs: Blobs, trial: Trial) -> Models:
    candidate = stored_model(blobs, trial.candidate)
    assert candidate is not None  # noqa: S101 - its version is not empty
    return Models(candidate, stored_model(blobs, trial.against), latest_classes(blobs))


def _compared(shadow: Shadow, pin: Pin, trial: Trial, version: str | None) -> Standing:
    blobs = shadow.ports.blobs
    models = _models(blobs, trial)
    while not trial.done:
        if shadow.left_ms() < PART_MS:
            done = trial.devices_done + trial.reviews_done
            whole = len(trial.devices) + len(trial.reviews)
            return Standing("comparing", pin.candidate, f"{done} of {whole} devices and reviewed episodes are compared")
        trial = next_part(trial, blobs, shadow.bundle, models)
        version = _save(blobs, trial, version)
    if trial.state == "comparing":
        why = objections(trial.counts, trial.against, needs_later=shadow.shadow_ms > 0)
        trial = msgspec.structs.replace(trial, state="worse" if why else "not worse", why=why)
        _save(blobs, trial, version)
    return _decided(shadow, pin, trial)


def _decided(shadow: Shadow, pin: Pin, trial: Trial) -> Standing:
    account = account_of(trial.counts, trial.against)
    if trial.why:
        return _refused(shadow, pin, f"{'; '.join(trial.why)} ({account})")
    if pin.pinned:
        return Standing("waiting", pin.candidate, f"{pin.version} is pinned; it is not worse {account}")
    who = Who(RETRAIN, shadow.now, f"not worse {account}")
    if promote_candidate(shadow.ports.blobs, pin.candidate, pin.version, who):
        return Standing("promoted", pin.candidate, who.why)
    return _overtaken(pin)


def _refused(shadow: Shadow, pin: Pin, why: str) -> Standing:
    if refuse_candidate(shadow.ports.blobs, pin.candidate, pin.version, Who(RETRAIN, shadow.now, why)):
        return Standing("refused", pin.candidate, why)
    return _overtaken(pin)


def _overtaken(pin: Pin) -> Standing:
    return Standing("waiting", pin.candidate, "somebody has changed which model is in force meanwhile")


def _save(blobs: Blobs, trial: Trial, version: str | None) -> str:
    return blobs.put(trial_key(trial.candidate), msgspec.json.encode(trial), version)
