"""`watchkeeper reprocess`: stored readings through the stages again, into a shadow; compare, promote, discard it."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from watchkeeper.bundles import bundle_in_force, stored_bundle
from watchkeeper.errors import ConfigError, KnowledgeError
from watchkeeper.knowledge.durations import format_duration, parse_duration
from watchkeeper.model_in_force import current_pin
from watchkeeper.reprocessing.compare import differences
from watchkeeper.reprocessing.plan import STAGE_NAMES, Plan, named, new_plan, plan_id, plans
from watchkeeper.reprocessing.work import Work, stored_model
from watchkeeper_local.columns import columns, moment
from watchkeeper_local.node import clock
from watchkeeper_local.sqlite import open_ports
from watchkeeper_local.sqlite.ports import FILE_NAME

if TYPE_CHECKING:
    from watchkeeper.ports import Blobs, Ports
    from watchkeeper.reprocessing.plan import StageName
    from watchkeeper_local.settings import Settings

ACTIONS = ("run", "list", "compare", "promote", "rollback", "discard")
LIST_HEAD = ("id", "state", "from", "to", "stage", "bundle", "shards", "readings")
COMPARE_HEAD = ("device", "what", "before", "after", "came", "went")


class Wanted(NamedTuple):
    """What the flags say of a replay; empty: not given."""

    start: str = ""
    end: str = ""
    stage: str = ""
    bundle: str = ""
    model: str = ""
    lead_in: str = ""


def reprocess(settings: Settings, action: str, name: str, wanted: Wanted, *, as_json: bool) -> int:
    """Do an action over the data folder, whether or not Watchkeeper runs there. ConfigError: it is asked wrongly."""
    _check(action, name, wanted, as_json=as_json)
    if not (Path(settings.data_dir) / FILE_NAME).exists():
        message = f"{settings.data_dir}: no Watchkeeper has kept data there; name its folder with --data-dir"
        raise ConfigError(message)
    ports = open_ports(Path(settings.data_dir), partitions=settings.partitions, shards=settings.shards)
    try:
        if action == "list":
            return _list(ports.blobs, as_json=as_json)
        if action == "run":
            return _run(ports.blobs, _plan(ports.blobs, settings.shards, wanted))
        work = Work(ports.blobs, named(ports.blobs, name), _progress)
        if action == "compare":
            return show_differences(ports, work.plan, as_json=as_json)
        return _move(work, action)
    finally:
        ports.close()


def _check(action: str, name: str, wanted: Wanted, *, as_json: bool) -> None:
    if action == "run" and not (wanted.start and wanted.end and wanted.stage):
        message = f"a replay needs --from, --to and --stage ({', '.join(STAGE_NAMES)})"
        raise ConfigError(message)
    if action != "run" and any(wanted):
        message = f"`reprocess {action}` takes none of --from, --to, --stage, --bundle, --model and --lead-in"
        raise ConfigError(message)
    if (action in {"run", "list"}) == bool(name):
        message = "`reprocess list` and a replay take no id, the other actions take one; `reprocess list` shows them"
        raise ConfigError(message)
    if as_json and action not in {"list", "compare"}:
        message = "--json belongs to `reprocess list` and `reprocess compare`"
        raise ConfigError(message)


def _plan(blobs: Blobs, shards: int, wanted: Wanted) -> Plan:
    start, end = time_of("--from", wanted.start), time_of("--to", wanted.end)
    if start >= end:
        message = f"--from ({wanted.start}) must be before --to ({wanted.end})"
        raise ConfigError(message)
    stage: StageName = next((name for name in STAGE_NAMES if name == wanted.stage), "clean")
    try:
        lead_in = parse_duration(wanted.lead_in or "1d")
    except KnowledgeError as error:
        message = f"--lead-in: {error}"
        raise ConfigError(message) from error
    bundle = wanted.bundle or bundle_in_force(blobs).version
    if not bundle:
        message = "no bundle is in force yet; `watchkeeper up` publishes one, or name one with --bundle"
        raise ConfigError(message)
    model = wanted.model or current_pin(blobs).version
    stored_bundle(blobs, bundle)
    stored_model(blobs, model)
    return Plan(
        id=plan_id(start, end, stage, bundle, model, lead_in), start=start, end=end, stage=stage,
        bundle=bundle, model=model, lead_in=lead_in, shards=shards, created=clock(),
    )  # fmt: skip


def time_of(flag: str, text: str) -> int:
    """A time as epoch ms: ISO 8601 (without a zone: UTC), or epoch ms. ConfigError: it is neither."""
    if text.isascii() and text.isdigit() and len(text) < 15:
        return int(text)
    try:
        given = datetime.fromisoformat(text)
        return round((given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        message = f"{flag}: not a time: {text!r} (write 2024-03-01T12:00:00Z, 2024-03-01, or epoch milliseconds)"
        raise ConfigError(message) from error


def _run(blobs: Blobs, wanted: Plan) -> int:
    work = Work(blobs, new_plan(blobs, wanted), _progress)
    if work.plan.state == "replaying":
        lead_in = format_duration(work.plan.lead_in)
        model = work.plan.model or "no model"
        print(f"{work.plan.id}: from {work.plan.stage} on, with {work.plan.bundle} and {model};")
        print(f"{moment(work.plan.start)} to {moment(work.plan.end)} UTC, and {lead_in} before it to learn from.")
        work.replay()
    print(f"{work.plan.id} is {work.plan.state}: {work.plan.readings} readings. Nothing that runs has changed.")
    print(f"See what differs: watchkeeper reprocess compare {work.plan.id}")
    return 0


def _move(work: Work, action: str) -> int:
    name = work.plan.id
    if action == "promote":
        work.promote()
        print(f"{name} is promoted: its {work.plan.readings} readings have replaced those they were made from.")
        print(f"Take it back with `watchkeeper reprocess rollback {name}`, until it is discarded.")
    elif action == "rollback":
        work.roll_back()
        print(f"{name} is rolled back: the readings are as they were.")
    else:
        work.discard()
        print(f"{name} is discarded.")
    return 0


def _list(blobs: Blobs, *, as_json: bool) -> int:
    found = plans(blobs)
    if as_json:
        told = [{**msgspec.to_builtins(plan), "done": len(plan.done), "readings": plan.readings} for plan in found]
        print(json.dumps(told, indent=1))
        return 0
    rows = [
        (
            plan.id, plan.state, moment(plan.start), moment(plan.end), plan.stage, plan.bundle,
            f"{len(plan.done)}/{plan.shards}", str(plan.readings),
        )
        for plan in found
    ]  # fmt: skip
    print(columns(LIST_HEAD, rows) if rows else "nothing is reprocessed")
    return 0


def show_differences(ports: Ports, plan: Plan, *, as_json: bool) -> int:
    """Print what differs in a reprocessing from what there is."""
    found = sorted(differences(ports, plan), key=lambda each: (each.tenant, each.device, each.what))
    if as_json:
        print(json.dumps(msgspec.to_builtins(found), indent=1))
        return 0
    rows = [(each.device, each.what, *map(str, (each.before, each.after, each.came, each.went))) for each in found]
    if rows:
        print(columns(COMPARE_HEAD, rows))
        print()
    differ = len({(each.tenant, each.device) for each in found})
    what = (
        f"{differ} device{'s' if differ != 1 else ''} differ{'s' if differ == 1 else ''}" if rows else "nothing differs"
    )
    part = "" if len(plan.done) == plan.shards else f" in the {len(plan.done)} of {plan.shards} shards replayed so far"
    print(f"{plan.readings} readings; {what}{part}.")
    return 0


def _progress(plan: Plan) -> None:
    done = len(plan.done) if plan.state == "replaying" else len(plan.moved)
    if sys.stderr.isatty():
        print(f"\r{plan.state}: {done} of {plan.shards} shards", end="", file=sys.stderr, flush=True)
        if done == plan.shards:
            print(file=sys.stderr)
