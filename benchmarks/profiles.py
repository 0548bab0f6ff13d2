"""Where the time goes: samples of a running process's threads, by the part of the program that they were in."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

PARTS: tuple[tuple[str, str], ...] = (
    # Of a stack's frames the innermost that is one of these decides.
    ("watchkeeper/stages/retrain", "retraining"),
    ("watchkeeper/detection/training", "retraining"),
    ("watchkeeper/detection/", "scoring"),
    ("watchkeeper/stages/ml_score", "scoring"),
    ("watchkeeper/checking/", "rules"),
    ("watchkeeper/stages/rule_check", "rules"),
    ("watchkeeper/cleaning/", "cleaning"),
    ("watchkeeper/stages/clean", "cleaning"),
    ("watchkeeper/series/", "storing: segments"),
    ("watchkeeper/stages/store", "storing: segments"),
    ("watchkeeper/intake/", "understanding bodies"),
    ("watchkeeper/stages/ingest", "understanding bodies"),
    ("watchkeeper/packs", "packs to JSON and back"),
    ("watchkeeper/wire", "packs to JSON and back"),
    ("watchkeeper/merging", "packs to JSON and back"),
    ("watchkeeper/states", "states: encoding and decoding"),
    ("watchkeeper/codec", "states: encoding and decoding"),
    ("watchkeeper_local/sqlite/", "SQLite: reads and commits"),
    ("watchkeeper_local/bridge", "the MQTT bridge"),
    ("paho/", "the MQTT bridge"),
    ("watchkeeper_api/", "HTTP"),
    ("uvicorn/", "HTTP"),
    ("h11/", "HTTP"),
    ("httptools/", "HTTP"),
    ("fastapi/", "HTTP"),
    ("starlette/", "HTTP"),
    ("anyio/", "HTTP"),
    ("asyncio/", "HTTP"),
    ("watchkeeper/run", "runner and worker"),
    ("watchkeeper/worker", "runner and worker"),
)
OTHER = "other"


@contextlib.contextmanager
def profiled(program: Path, pids: Mapping[str, int], seconds: float) -> Iterator[dict[str, dict[str, float]]]:
    """Samples processes by name while the block runs; afterwards the answer holds each one's shares by part, sum 1."""
    shares: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / str(pid) for name, pid in pids.items()}
        running = [
            subprocess.Popen(  # noqa: S603 - py-spy
                [
                    program,
                    "record",
                    "-p",
                    str(pid),
                    "-d",
                    str(round(seconds)),
                    "-r",
                    "50",
                    "-f",
                    "raw",
                    "-o",
                    files[name],
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for name, pid in pids.items()
        ]
        yield shares
        for each in running:
            each.wait(60)
        for name, file in files.items():
            if file.exists():  # not where one process may not look into another
                shares[name] = shares_of(file.read_text("utf-8"))


def shares_of(stacks: str) -> dict[str, float]:
    """Folded stacks (`outermost;…;innermost count` a line) as shares by part, greatest first."""
    counts: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        counts[_part(stack.split(";"))] += int(count)
    total = counts.total()
    return {part: count / total for part, count in counts.most_common()}


def _part(frames: list[str]) -> str:
    for frame in reversed(frames):
        for mark, part in PARTS:
            if mark in frame:
                return part
    return OTHER
