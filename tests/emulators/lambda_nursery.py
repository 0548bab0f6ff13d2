"""Starts Lambda functions' processes in a tenth of the time: each parts from one that has loaded the packages.

    python -m tests.emulators.lambda_nursery      (its stdin is a socket)

A message is JSON: a handler, an environment and a folder, with a descriptor for all that the function prints; the
answer is the id of its process. `{"end": ID}` ends it. What reads the environment when it is loaded (powertools, the
runtime client, our code for AWS) is loaded by each for itself; what a cold start loads, tests/lambdas/test_imports.py
looks at.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import sys
from typing import Any

AHEAD = ("boto3", "botocore.session", "botocore.endpoint", "confluent_kafka.admin", "watchkeeper.pipeline")
FORKS = sys.platform != "darwin"  # whose libraries do not outlive a fork; there each begins from nothing
LARGEST = 1 << 20


def main() -> None:
    """Until nobody is left who could ask."""
    for name in AHEAD if FORKS else ():
        importlib.import_module(name)
    running: set[int] = set()  # and those that have ended, until it is known: their ids are nobody else's
    with socket.socket(fileno=os.dup(0)) as asking:
        while (told := socket.recv_fds(asking, LARGEST, 1))[0]:
            asked = json.loads(told[0])
            if "end" in asked:
                _end(asked["end"])
                running.remove(asked["end"])
                asking.send(b"0")
                continue
            (prints,) = told[1]
            child = os.fork()
            if not child:
                asking.close()
                _become(asked, prints)
            os.close(prints)
            running.add(child)
            asking.send(str(child).encode())
    for child in running:
        _end(child)


def _end(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _become(asked: dict[str, Any], prints: int) -> None:
    """What `python -m awslambdaric HANDLER` is."""
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor in (1, 2):
            os.dup2(prints, descriptor)
        os.chdir(asked["folder"])
        if not FORKS:
            command = [sys.executable, "-m", "awslambdaric", asked["handler"]]
            os.execve(sys.executable, command, asked["environment"])  # noqa: S606 - our own Python
        os.environ.clear()
        os.environ.update(asked["environment"])
        sys.path[0], sys.argv = asked["folder"], ["awslambdaric", asked["handler"]]
        importlib.import_module("awslambdaric.__main__").main(sys.argv)
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
