"""Child processes: told to stop by a pipe, ended when they will not, and gone when their parent is killed."""

import subprocess
import sys
import time
from pathlib import Path

import psutil

from watchkeeper_local.lifeline import Child

PARENT = """
import sys, time
from tests.unit.local.test_local_lifeline import wait_for_stop
from watchkeeper_local.lifeline import Child
if __name__ == "__main__":
    child = Child("c", wait_for_stop, sys.argv[1])
    print(child.pid, flush=True)
    time.sleep(60)
"""


def wait_for_stop(file, stop):
    Path(file).write_text("started")
    stop.wait()
    Path(file).write_text("stopped")


def never_stop(_stop):
    while True:
        time.sleep(1)


def until(true, seconds=15):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    assert true()


def test_a_child_that_is_asked_to_stop_finishes_what_it_does(tmp_path):
    file = tmp_path / "f"
    child = Child("c", wait_for_stop, str(file))
    until(lambda: file.exists() and file.read_text() == "started")
    assert child.exit_code is None
    child.stop()
    assert (child.exit_code, file.read_text()) == (0, "stopped")


def test_a_child_that_does_not_stop_is_ended():
    child = Child("c", never_stop)
    child.stop(patience_s=0.5)
    assert child.exit_code not in {None, 0}


def test_a_child_stops_when_its_parent_is_killed(tmp_path):
    file, script = tmp_path / "f", tmp_path / "parent.py"
    script.write_text(PARENT)
    command = [sys.executable, str(script), str(file)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(root)}) as parent:
        pid = int(parent.stdout.readline())
        until(lambda: file.exists() and file.read_text() == "started")
        parent.kill()
    until(lambda: file.read_text() == "stopped" and not psutil.pid_exists(pid))
