"""Every benchmark, one after the other, and the pictures: what `make bench` runs. Any failure ends it with an error.

What comes out is printed, and written to benchmarks/results, which docs/performance.md is made from.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent
QUICK = {
    "stages": ["--tries", "1", "--groups", "2", "--devices", "100", "--days", "1"],
    "queries": ["--days", "2", "--devices", "2", "--times", "2", "--at-once", "300"],
    "http": ["--rate", "1000", "--seconds", "1", "--warm-up", "1", "--form", "json", "--devices", "100"],
    "mqtt": ["--rate", "200", "--seconds", "1", "--warm-up", "1", "--devices", "100"],
    "peers": ["--rounds", "1", "--turns", "5"],
}
FULL = {
    "stages": [],
    "queries": [],
    "http": ["--form", "json", "--form", "ndjson", "--form", "msgpack"],
    "mqtt": ["--seconds", "20", "--step", "6"],
    "peers": ["--turns", "100"],
}
PROGRAMS = {
    "stages": ["stages.py"],
    "queries": ["queries.py"],
    "http": ["sustained.py"],
    "mqtt": ["sustained.py", "--form", "mqtt"],
    "peers": ["compare.py"],
}


def run(part: str, asked: argparse.Namespace) -> None:
    """One part. CalledProcessError: it has failed, and has said why."""
    program, *always = PROGRAMS[part]
    command = [sys.executable, str(FOLDER / program), *always, *(QUICK if asked.quick else FULL)[part]]
    command += ["--save", part, "--results", asked.results]
    if part == "peers":
        command += ["--peers", asked.peers]
    if part in {"http", "mqtt"} and not asked.quick and asked.peers:
        command += ["--profiler", str(Path(asked.peers).absolute().with_name("py-spy"))]
    started = time.monotonic()
    print(f"\n== {part}", flush=True)
    subprocess.run(command, check=True)  # noqa: S603 - ours
    print(f"== {part}: {time.monotonic() - started:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only see that all of it runs; the figures mean nothing")
    parser.add_argument("--part", action="append", choices=PROGRAMS, help="only this one")
    parser.add_argument("--peers", default="", help="the Python that has the peers' packages; without: no peers")
    parser.add_argument("--results", default="", help="folder to write to; default: benchmarks/results, if not --quick")
    asked = parser.parse_args()
    asked.results = asked.results or ("" if asked.quick else str(FOLDER / "results"))
    for part in asked.part or [part for part in PROGRAMS if asked.peers or part != "peers"]:
        run(part, asked)
    if not asked.quick:
        subprocess.run([sys.executable, str(FOLDER / "pictures.py")], check=True)  # noqa: S603 - ours
        subprocess.run([sys.executable, "-m", "tests.docs.pages"], check=True, cwd=FOLDER.parent)


if __name__ == "__main__":
    main()
