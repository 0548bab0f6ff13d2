"""`watchkeeper doctor`: what is wrong with this machine, the data folder and what runs, and what to do about it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from watchkeeper.errors import ConfigError, WatchkeeperError
from watchkeeper.pipeline import STAGES
from watchkeeper_adapters.receiver_settings import open_receivers
from watchkeeper_local import checks
from watchkeeper_local.checks import Finding
from watchkeeper_local.letter_desk import Desk
from watchkeeper_local.lock import holder
from watchkeeper_local.node import clock, open_node
from watchkeeper_local.settings import Settings
from watchkeeper_local.sqlite.ports import FILE_NAME
from watchkeeper_local.status import fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MUCH_LAG = 10_000  # messages that wait for one stage: minutes of work


def examine(read: Callable[[], Settings], data_dir: str, api_key: str | None) -> int:
    """Print all findings; 1 if anything is wrong. `read` answers the settings, or says what is wrong with them."""
    findings = []
    for finding in _findings(read, data_dir, api_key):
        findings.append(finding)
        lines = finding.said.splitlines() or [""]
        print(f"{'WRONG' if finding.advice else 'ok':6} {finding.what:16} {lines[0]}", flush=True)
        for line in lines[1:]:
            print(f"{'':23} {line}")
        if finding.advice:
            print(f"{'':6} {'':16} → {finding.advice}")
    wrong = sum(bool(finding.advice) for finding in findings)
    print(f"\n{wrong} of {len(findings)} checks found something wrong" if wrong else "\nall is well")
    return 1 if wrong else 0


def _findings(read: Callable[[], Settings], data_dir: str, api_key: str | None) -> Iterator[Finding]:
    yield checks.check_python()
    try:
        settings = read()
        open_receivers(settings.receivers)
        yield Finding("settings", "valid")
    except ConfigError as error:
        yield Finding("settings", str(error), "mend this; what follows supposes the defaults")
        settings = Settings(data_dir=data_dir) if data_dir else Settings()
    folder = Path(settings.data_dir).resolve()
    yield checks.check_clock(clock(), folder)
    usable = checks.check_folder(folder)
    yield usable
    yield checks.check_disk(folder)
    sound = Finding("database", "not looked at")
    if not usable.advice:
        sound = checks.check_database(folder, settings)
        yield sound
    knowledge = checks.check_knowledge(settings.knowledge_base)
    yield knowledge
    held_by = holder(folder)
    yield from checks.check_ports(settings, held_by)
    if not (usable.advice or sound.advice or knowledge.advice) and (folder / FILE_NAME).exists():
        yield _letters(settings)
    if held_by:
        yield from _running(settings, api_key)
        if not sound.advice:
            yield _blocked(folder)


def _letters(settings: Settings) -> Finding:
    try:
        ports, published = open_node(settings, durable=True)
        try:
            count = sum(1 for _ in Desk(ports, published, STAGES["ingest"], settings.shards, clock).open())
        finally:
            ports.close()
    except WatchkeeperError as error:
        return Finding("dead letters", str(error), "mend this first")
    if not count:
        return Finding("dead letters", "none are open")
    return Finding(
        "dead letters",
        f"{count} are open",
        "see `watchkeeper dead-letters list`, and runbook watchkeeper-dead-letters.md",
    )


def _running(settings: Settings, api_key: str | None) -> Iterator[Finding]:
    """What the API of the one that runs says."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - it is compared with
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.http_port}"
    try:
        status = fetch(url, "/api/status", api_key)
    except WatchkeeperError as error:
        yield Finding("API", str(error), "give --http-port and --api-key as it was started with; else look at its log")
        return
    yield Finding("API", f"answers at {url}, version {status['version']}")
    pipeline, level = status["pipeline"], status["budget"]["cutoff"].get("level", "ok")
    workers = pipeline.get("workers", 0)
    yield Finding(
        "workers", f"{workers} run", "" if workers else "they end as soon as they start: look at the log of `up`"
    )
    behind = {stage: count for stage, count in pipeline.get("lag", {}).items() if count > MUCH_LAG}
    said = ", ".join(f"{stage} {count}" for stage, count in behind.items())
    advice = "more come in than are done: see runbook watchkeeper-lag.md" if behind else ""
    yield Finding("lag", f"messages wait: {said}" if said else "none to speak of", advice)
    cut = level in {"degrade", "cutoff"}
    yield Finding(
        "budget",
        f"level {level}",
        "raise --budget, or wait for the month to end: see runbook budget-cutoff.md" if cut else "",
    )


def _blocked(folder: Path) -> Finding:
    try:
        stuck = checks.blocked(folder)
    except sqlite3.Error as error:
        return Finding("partitions", str(error), "see what is said of the database")
    if not stuck:
        return Finding("partitions", "none is blocked")
    return Finding("partitions", "blocked: " + "; ".join(stuck), "the log of `up` says what they wait for")
