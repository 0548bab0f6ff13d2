"""The benchmarks still run. Their figures are looked at by people, not here."""

import subprocess
import sys

import msgspec
import pytest

from tests.docs.pages import ROOT

PARTS = ("stages", "http", "mqtt")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_quick_mode_of_every_part_but_queries_and_peers_runs_and_the_readings_add_up(tmp_path):
    parts = [word for part in PARTS for word in ("--part", part)]
    command = [sys.executable, "benchmarks/all.py", "--quick", "--results", str(tmp_path), *parts]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for part in PARTS[1:]:
        (run,) = msgspec.json.decode((tmp_path / f"{part}.json").read_bytes())["found"]
        counts = run["counts"]
        assert counts["accepted"] == counts["stored"] + counts["dead"] + counts["deduplicated"] + counts["shed"] > 0


@pytest.mark.slow
def test_queries_over_a_small_lake_answer_every_reading_there_is(tmp_path):
    command = [sys.executable, "benchmarks/queries.py", "--days", "2", "--devices", "1", "--times", "1"]
    command += ["--at-once", "300", "--save", "queries", "--results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = msgspec.json.decode((tmp_path / "queries.json").read_bytes())["found"]
    assert {row["points"] for row in found if row["question"] == "a day, each reading"} == {86_400}
