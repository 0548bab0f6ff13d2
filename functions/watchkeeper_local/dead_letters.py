"""`watchkeeper dead-letters`: what no stage could take, for people: looked at, sent back, or given up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from watchkeeper.errors import ConfigError, Conflict, DecodeError
from watchkeeper.pipeline import STAGES
from watchkeeper_local.columns import columns, moment, one_line
from watchkeeper_local.letter_desk import Desk
from watchkeeper_local.node import clock, open_node
from watchkeeper_local.sqlite.ports import FILE_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper.dead_letters import Found
    from watchkeeper_local.settings import Settings

HEAD = ("id", "when", "stage", "device", "reason", "bytes")
DONE = {"redrive": "redriven", "discard": "discarded"}


def manage_letters(settings: Settings, action: str, ids: Sequence[str], *, everything: bool, as_json: bool) -> int:
    """List, show, redrive or discard; 1: some could not be redriven, and stay open. ConfigError: wrongly asked."""
    _check(action, ids, everything=everything, as_json=as_json)
    if not (Path(settings.data_dir) / FILE_NAME).exists():
        raise ConfigError(f"{settings.data_dir}: no Watchkeeper has kept data there; name its folder with --data-dir")
    ports, published = open_node(settings, durable=True)
    desk = Desk(ports, published, STAGES["ingest"], settings.shards, clock)
    try:
        if action == "list":
            _list(desk, as_json=as_json)
            return 0
        if action == "show":
            _show(desk, ids[0], as_json=as_json)
            return 0
        return _take(desk, action, desk.chosen(ids, everything=everything))
    finally:
        ports.close()


def shown_body(body: bytes) -> str:
    """The bytes: as text where they are some that can be printed, else in hexadecimal."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return body.hex(" ")
    return text if all(char.isprintable() or char in "\n\t\r" for char in text) else body.hex(" ")


def _check(action: str, ids: Sequence[str], *, everything: bool, as_json: bool) -> None:
    if (action == "list" and ids) or (action == "show" and len(ids) != 1):
        raise ConfigError("`dead-letters list` takes no id, `dead-letters show` takes one")
    if everything and action not in DONE:
        raise ConfigError("--all belongs to `dead-letters redrive` and `dead-letters discard`")
    if as_json and action in DONE:
        raise ConfigError("--json belongs to `dead-letters list` and `dead-letters show`")


def _list(desk: Desk, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([_as_dict(found, short=True) for found in desk.open()], indent=1))
        return
    rows = [
        (
            letter.id, moment(letter.ts), letter.stage, one_line(letter.device, 30) or "-",
            one_line(letter.reason), str(len(letter.body)),
        )
        for _, _, letter in desk.open()
    ]  # fmt: skip
    print(columns(HEAD, rows) if rows else "no dead letters are open")


def _show(desk: Desk, name: str, *, as_json: bool) -> None:
    found = desk.letter(name)
    taken = desk.taken().get(found.letter.id)
    told = _as_dict(found) | {"state": f"{taken.how} {moment(taken.ts)}" if taken else "open"}
    if as_json:
        print(json.dumps(told, indent=1))
        return
    body = told.pop("body")
    for key, value in told.items():
        as_time = f" ({moment(value)} UTC)" if key in {"ts", "received"} and isinstance(value, int) and value else ""
        print(f"{key:10} {one_line(str(value), 1000)}{as_time}")
    print(f"\n{body}")


def _as_dict(found: Found, *, short: bool = False) -> dict[str, object]:
    letter = found.letter
    told = {name: getattr(letter, name) for name in ("id", "ts", "stage", "tenant", "device", "reason")}
    told["bytes"] = len(letter.body)
    if short:
        return told
    rest = {name: getattr(letter, name) for name in ("topic", "partition", "offset", "index", "received")}
    return told | rest | {"body": shown_body(letter.body)}


def _take(desk: Desk, action: str, chosen: Sequence[Found]) -> int:
    left = 0
    for found in chosen:
        try:
            (desk.redrive if action == "redrive" else desk.discard)(found)
        except DecodeError as error:
            left += 1
            print(f"{found.letter.id}: stays open: {one_line(str(error), 500)}")
        except Conflict:
            print(f"{found.letter.id}: somebody else has just taken it")
        else:
            print(f"{found.letter.id}: {DONE[action]}")
    desk.commit()
    if not chosen:
        print("no dead letters are open")
    return 1 if left else 0
