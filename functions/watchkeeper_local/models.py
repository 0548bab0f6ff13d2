"""`watchkeeper models`: the model in force and the one in shadow, how that came about, and what people do about it."""

from __future__ import annotations

import contextlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from watchkeeper.class_knowledge import latest_classes, learn_classes
from watchkeeper.errors import ConfigError, KnowledgeError
from watchkeeper.knowledge.durations import parse_duration
from watchkeeper.model_drift import latest_drift, measure_drift
from watchkeeper.model_in_force import (
    Who,
    current_pin,
    model_history,
    model_versions,
    pin_model,
    promote_model,
    roll_back_model,
    unpin_model,
)
from watchkeeper.records import DEFAULT_TENANT
from watchkeeper.reprocessing.work import stored_model
from watchkeeper.shadow.differing import MOST_NAMED, what_differs
from watchkeeper.shadow.judging import judge
from watchkeeper.shadow.trial import stored_trial
from watchkeeper.shadow.verdict import account_of, name_of
from watchkeeper_local.columns import columns, moment, one_line
from watchkeeper_local.node import clock, open_node
from watchkeeper_local.reprocess_command import time_of
from watchkeeper_local.sqlite.ports import FILE_NAME
from watchkeeper_local.training import retrain_now, shadow_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watchkeeper.detection.classes import ClassBook
    from watchkeeper.model_drift import DriftReport
    from watchkeeper.ports import Blobs, Ports
    from watchkeeper.published import Published
    from watchkeeper.shadow.differing import Differing
    from watchkeeper_local.settings import Settings

SHOWN = 5  # metrics that have drifted most
NAMED = 20  # openings that only one of two models has, of each


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[tuple[Ports, Published]]:
    """The ports of the data folder, and what is published there. ConfigError: there is none."""
    if not (Path(settings.data_dir) / FILE_NAME).exists():
        message = f"{settings.data_dir}: no Watchkeeper has kept data there; name its folder with --data-dir"
        raise ConfigError(message)
    ports, published = open_node(settings, durable=True)
    try:
        published.refresh(clock())
        yield ports, published
    finally:
        ports.close()


def manage_models(settings: Settings, action: str, version: str = "", why: str = "", by: str = "somebody") -> int:
    """List, train, judge, promote, pin, unpin, roll back, or look at drift; then show what there is.

    ModelError: no such model, another is pinned, or too little to learn from. Conflict: others change it, too.
    """
    with opened(settings) as (ports, published):
        who = Who(by, clock(), why)
        if action == "train":
            print(retrain_now(ports, settings.shards, f"{why}: " if why else "", by))
        elif action == "judge":
            print(judge(shadow_of(ports, published.bundle, settings, clock())))
        elif action == "promote":
            promote_model(ports.blobs, version, who)
        elif action == "pin":
            pin_model(ports.blobs, version, who)
        elif action == "unpin":
            unpin_model(ports.blobs, who)
        elif action == "rollback":
            roll_back_model(ports.blobs, who)
        elif action == "drift":
            measure_drift(ports, settings.shards, clock())
            learn_classes(ports, settings.shards, clock())
        _list(ports.blobs)
    return 0


def show_history(settings: Settings, limit: int, before: int) -> int:
    """The newest changes of what is in force or in shadow."""
    with opened(settings) as (ports, _):
        found = model_history(ports.blobs, before, limit)
    for change in found:
        moved = (
            f"{name_of(change.before)} -> {name_of(change.after)}"
            if change.before != change.after
            else f"{name_of(change.after)} stays in force"
        )
        print(f"{change.number}  {moment(change.at)}  {change.what} {change.model} by {one_line(change.by)}: {moved}")
        if change.why:
            print(f"    {one_line(change.why, 2_000)}")
    if not found:
        print("nothing has changed yet")
    elif found[-1].number > 1:
        print(f"earlier ones: watchkeeper models history --before {found[-1].number}")
    return 0


def show_replay(settings: Settings, version: str, since: str, against: str) -> int:
    """What would have differed with a model. ModelError: there is no such; ConfigError: `since` is no time."""
    with opened(settings) as (ports, published):
        other = against or current_pin(ports.blobs).version
        now, blobs = clock(), ports.blobs
        models = stored_model(blobs, version), stored_model(blobs, other)
        start = _since(since, now)
        found = what_differs(blobs, settings.shards, published.bundle, *models, start, now + 1, _progress)
    print(f"{version} beside {name_of(other)}, {moment(start)} to {moment(now)} UTC, {found.devices} devices:")
    print(_days(found, version, name_of(other)) if found.days else "nothing is stored from then on")
    for name, alone in ((version, found.only_one), (name_of(other), found.only_other)):
        for opening in alone[:NAMED]:
            print(f"only {name}: {opening.device} at {moment(opening.ts)}")
        if len(alone) > NAMED:
            more = "or more" if len(alone) == MOST_NAMED else "in all"
            print(f"only {name}: {len(alone)} {more}")
    print("Nothing has changed.")
    return 0


def _list(blobs: Blobs) -> None:
    pin = current_pin(blobs)
    said = {pin.candidate: "  in shadow", pin.version: "  in force, pinned" if pin.pinned else "  in force"}
    for name in model_versions(blobs):
        print(f"{name}{said.get(name, '')}")
    if not pin.version:
        print("no model is in force yet: readings are scored by their devices' baselines alone")
    if pin.candidate:
        print(_shadow(blobs, pin.candidate))
    report = latest_drift(blobs)
    print("\n".join(_told(report) if report else ["drift has not been looked at yet; `models drift` does now"]))
    for line in _of_classes(latest_classes(blobs)):
        print(line)


def _shadow(blobs: Blobs, candidate: str) -> str:
    trial, _ = stored_trial(blobs, candidate)
    if trial is None:
        return f"{candidate} is in shadow, and not yet compared"
    return f"{candidate} is in shadow, {trial.state}: {account_of(trial.counts, trial.against)}"


def _since(text: str, now: int) -> int:
    with contextlib.suppress(KnowledgeError):
        return now - parse_duration(text)
    return time_of("--since", text)


def _days(found: Differing, version: str, other: str) -> str:
    head = ("day", "readings", version, other, f"only {version}", f"only {other}")
    rows = [
        (day.day, *(str(number) for number in (day.readings, day.one, day.other, day.only_one, day.only_other)))
        for day in found.days
    ]
    return columns(head, rows)


def _progress(devices: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{devices} devices", end="\r", file=sys.stderr, flush=True)


def _of_classes(book: ClassBook | None) -> list[str]:
    """Of each class the factor on its bar, the reviews it comes from, and how many metrics new devices are held to."""
    classes = [(tenant, *each) for tenant, of in (book.tenants if book else {}).items() for each in of.items()]
    return [
        f"class {name}{'' if tenant == DEFAULT_TENANT else f' of {tenant}'}: bar x{known.factor:.2f} "
        f"({known.confirmed} reviews confirmed, {known.rejected} rejected), "
        f"{len(known.metrics)} metrics known to new devices"
        for tenant, name, known in classes
    ]


def _told(report: DriftReport) -> list[str]:
    when = datetime.fromtimestamp(report.ts / 1000, UTC).isoformat(timespec="minutes")
    against = f"from what {report.model} learnt from" if report.model else "as there is no model"
    lines = [f"the day before {when}: {report.drifted} of {report.series} series have drifted {against}"]
    lines += [
        f"  {metric.metric}: {metric.drifted} of {metric.series}, index {metric.index:.2f}"
        for metric in report.metrics[:SHOWN]
    ]
    said = "more than the target explains" if report.loud else "within what the target explains"
    lines.append(
        f"{report.openings_a_week:.2f} openings a week for a device, the target is {report.target_a_week:g}: {said}; "
        f"{report.anomalous:.2%} of readings anomalous"
    )
    lines += [
        f"reviewed in the week of {week.week}: {week.share:.0%} of {week.confirmed + week.rejected} confirmed"
        for week in report.precision
    ]
    return lines
