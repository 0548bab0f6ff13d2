"""The built wheel, installed in a clean environment and run elsewhere: what a user of the package gets."""

import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.docs.pages import blocks

ROOT = Path(__file__).parents[2]


def run(*command, where, seconds=400):
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, cwd=where, timeout=seconds, check=False
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.timeout(600)
def test_the_wheel_runs_the_demo_in_a_clean_environment_and_loses_nothing(tmp_path):
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT, where=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "clean")
    python = tmp_path / "clean" / "bin" / "python"
    install = (sys.executable, "-m", "uv", "pip", "install", "-q", "--python", python, "--no-deps")
    run(*install, "--require-hashes", "-r", ROOT / "requirements" / "local.txt", where=tmp_path)
    run(*install, wheel, where=tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    output = run(python.with_name("watchkeeper"), "demo", "--seconds", "10", where=elsewhere)
    figures = {line.rsplit(maxsplit=1)[0].strip(): line.split()[-1] for line in output.splitlines() if line.strip()}
    assert figures["lost"] == "0"
    assert int(figures["stored"]) > 1_000
    assert int(figures["faults found"]) >= 1
    shown = next(block for block in blocks("README.md", "text")).text
    for name in re.findall(r"^  ([a-z][a-z0-9 ,]+?) {2,}\d+$", shown, re.MULTILINE):
        assert name in figures, f"README.md shows {name!r}, which the demo no longer does"
    assert not list(elsewhere.iterdir()), "the demo leaves nothing behind"
