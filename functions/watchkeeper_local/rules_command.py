"""`watchkeeper rules`: the mistakes of a knowledge base, and when its rules would have fired on recorded data."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from watchkeeper.errors import ConfigError, KnowledgeError
from watchkeeper.intake.sent import SentReading
from watchkeeper.knowledge.bundle import FOLDERS, Bundle
from watchkeeper.knowledge.durations import parse_duration
from watchkeeper.knowledge.problems import did_you_mean
from watchkeeper.records import DEFAULT_TENANT, Device
from watchkeeper.stored_trial import try_rules_on_stored
from watchkeeper.trial import Fired, Trial, as_class, try_rules
from watchkeeper_local.bundle_command import contents, opened
from watchkeeper_local.knowledge import read_files, shipped_folder
from watchkeeper_local.node import clock
from watchkeeper_local.rules_curves import Lake, Measured
from watchkeeper_local.sources.csv_readings import CsvError, read_csv

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchkeeper_local.rules_curves import Source
    from watchkeeper_local.settings import Settings

SHOWN = 10  # bad rows printed in full


def check_rules(folder: str) -> int:
    """Every mistake as file:line:column, and 1; or what is in the knowledge base, and 0. ConfigError: it is none."""
    root = Path(folder) if folder else shipped_folder()
    bundle = _valid(root, read_files(folder))
    if bundle is None:
        return 1
    print(f"{root}: {contents(bundle)}; no mistakes. As a bundle it is {bundle.version}.")
    return 0


class Asked(NamedTuple):
    """What is to be tried on what: a file of rules or a knowledge base, on files and folders or what is stored."""

    file: str
    on: Sequence[str] = ()
    last: str = ""
    device_class: str = ""
    png: str = ""


def try_rules_on(settings: Settings, asked: Asked) -> int:
    """Print when the rules would have fired. Answers 1 for mistakes in the rules or bad rows in the data.

    ConfigError: a file is not there, there is no such class, or there are no readings.
    """
    data = _data_files(asked.on)
    root, files = _rules_at(Path(asked.file))
    bundle = _valid(root, files)
    if bundle is None:
        return 1
    if asked.device_class:
        names = bundle.catalogue.class_names
        if asked.device_class not in names:
            raise ConfigError(
                f"unknown device class {asked.device_class!r}{did_you_mean(asked.device_class, names)}; "
                f"the classes are: {', '.join(names)}"
            )
        bundle = as_class(bundle, asked.device_class)
    return _on_stored(settings, bundle, asked) if asked.last else _on_files(bundle, data, asked)


def _data_files(on: Sequence[str]) -> list[Path]:
    """The files, and in their order those of folders. ConfigError: one is not there."""
    missing = [name for name in on if not Path(name).exists()]
    if missing:
        raise ConfigError(f"no such file or folder: {', '.join(missing)}")
    files = [file for path in map(Path, on) for file in (sorted(path.glob("*.csv")) if path.is_dir() else [path])]
    if on and not files:
        raise ConfigError(f"no file *.csv is in {', '.join(on)}")
    return files


def _on_files(bundle: Bundle, data: Sequence[Path], asked: Asked) -> int:
    bad: list[CsvError] = []
    readings = _readings(data, bad)
    held = Measured() if asked.png else None
    trial = try_rules(bundle, held.seeing(readings) if held else readings)
    for error in bad[:SHOWN]:
        print(f"left out: {error}", file=sys.stderr)
    if not trial.counts["readings"]:
        raise ConfigError(f"there are no readings in {', '.join(map(str, data))}")
    _print(trial, bundle, len(bad))
    if held:
        _draw(trial, bundle, held, asked.png)
    return 1 if bad else 0


def _on_stored(settings: Settings, bundle: Bundle, asked: Asked) -> int:
    """The same on the readings of the data folder. Nothing there changes, and what runs goes on."""
    try:
        span = parse_duration(asked.last)
    except KnowledgeError as error:
        raise ConfigError(f"--last: {error}") from error
    with opened(settings) as blobs:
        end = clock() + 1
        trial = try_rules_on_stored(bundle, blobs, settings.shards, end - span, end).trial
        if not trial.counts["readings"]:
            raise ConfigError(f"{settings.data_dir}: no readings of the last {asked.last} are stored there")
        _print(trial, bundle, 0)
        if asked.png:
            _draw(trial, bundle, Lake(blobs, settings.shards, end - span, end), asked.png)
    return 0


def _draw(trial: Trial, bundle: Bundle, source: Source, file: str) -> None:
    from watchkeeper_local.rules_picture import draw

    pictures = draw(trial, bundle, source, Path(file))
    left_out = f"; {pictures.left_out} more that fired are not drawn" if pictures.left_out else ""
    print(f"drawn: {', '.join(map(str, pictures.files))}{left_out}" if pictures.files else "nothing fired to be drawn")


def _rules_at(path: Path) -> tuple[Path, dict[str, str]]:
    """The knowledge base to try, and its files: a folder's, or that which one file of rules belongs to, with it alone.

    A file that lies in no knowledge base is read against the shipped classes and runbooks.
    """
    if path.is_dir():
        return path, read_files(str(path))
    if not path.is_file():
        raise ConfigError(f"no such file or folder: {path}")
    home = path.resolve().parent.parent
    own = path.resolve().parent.name == "rules" and any((home / name).is_dir() for name in FOLDERS if name != "rules")
    base = read_files(str(home) if own else "")
    files = {name: text for name, text in base.items() if not name.startswith("rules/")}
    files[f"rules/{path.name}"] = path.read_text("utf-8", errors="surrogateescape")
    return (home if own else path.parent), files


def _valid(root: Path, files: dict[str, str]) -> Bundle | None:
    """The bundle; None after its mistakes have been printed."""
    try:
        return Bundle.from_files(files)
    except KnowledgeError as error:
        problems = str(error).splitlines()
    for problem in problems:
        name = problem.split(":", 1)[0]
        there = (root / name).exists() or not (root / Path(name).name).exists()
        print(root / problem if there else root / problem.removeprefix("rules/"))
    print(f"{len(problems)} mistake{'s' if len(problems) > 1 else ''}", file=sys.stderr)
    return None


def _readings(data: Sequence[Path], bad: list[CsvError]) -> Iterator[tuple[Device, int, SentReading]]:
    for file in data:
        for row in read_csv(file):
            if isinstance(row, CsvError):
                bad.append(row)
                continue
            reading = row.reading
            who = Device(DEFAULT_TENANT, reading["device"], reading.get("site", ""))
            values: dict[str, float | None] = {**reading["values"]}
            yield who, reading["ts"], SentReading(values=values, tags={**reading.get("tags", {})})


def _print(trial: Trial, bundle: Bundle, bad: int) -> None:
    if trial.fired:
        head = ("rule", "device", "opened", "cleared", "readings", "worst value")
        rows = [head, *map(_row, trial.fired)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        print()
    else:
        print("no rule would have fired")
    by_class = Counter(trial.classes.values())
    devices = ", ".join(f"{count} of class {name}" for name, count in sorted(by_class.items()))
    counts = trial.counts
    left_out = (("repetitions left out", counts["deduplicated"]), ("not understood", counts["dead"]), ("bad rows", bad))
    more = "".join(f", {count} {what}" for what, count in left_out if count)
    print(f"{counts['readings']} readings{more}; devices: {devices}.")
    fired = {each.rule for each in trial.fired}
    watched = {rule.id: None for name in by_class for rule in bundle.rules.for_class(name)}
    quiet = [rule_id for rule_id in watched if rule_id not in fired]
    if quiet:
        print(f"did not fire: {', '.join(quiet)}")
    others = [rule.id for rule in bundle.rules.rules if rule.id not in watched]
    if others:
        print(f"are for other classes: {', '.join(others)}")


def _row(fired: Fired) -> tuple[str, ...]:
    return (
        fired.rule,
        fired.device,
        _time(fired.opened),
        "still open" if fired.cleared is None else _time(fired.cleared),
        str(fired.readings) if fired.readings else "-",
        "-" if fired.worst is None else f"{fired.worst:g}",
    )


def _time(ts: int) -> str:
    return datetime.fromtimestamp(ts / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
