"""A process of its own, for tests: `python sqlite_process.py <what> <folder> <name>`. It says what is acknowledged."""

import os
import sys
from itertools import count
from pathlib import Path

from watchkeeper.errors import ConfigError, Conflict
from watchkeeper.outcome import ABSENT
from watchkeeper.ports import Key, Message
from watchkeeper.topology import DATA_PROCESSING_OUTPUT, DEVICES
from watchkeeper_local.sqlite import SqlitePorts, open_ports

TOPIC = DATA_PROCESSING_OUTPUT.name


def say(*words: object) -> None:
    """One line, in one piece."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def append_for_ever(ports: SqlitePorts, name: str) -> None:
    """Two messages and a row at a time, as one."""
    for number in count():
        with ports.transaction():
            ports.stream.append(TOPIC, [Message(0, f"{name}:{number}".encode(), {"filler": "x" * 2000})] * 2)
            ports.tables.put(DEVICES.name, Key(name, f"{number:06d}"), b"")
        say(number)


def count_by_compare_and_swap(ports: SqlitePorts, name: str) -> None:
    """Add 50 to a number that others add to as well."""
    done = 0
    while done < 50:
        held = ports.blobs.get_many(["count"]).get("count")
        try:
            ports.blobs.put("count", b"%d" % (int(held.data) + 1 if held else 1), held.version if held else ABSENT)
        except Conflict:
            continue
        done += 1


def fork(ports: SqlitePorts, name: str) -> None:
    """A child before the file is open here, and one after."""
    for moment in ("before", "after"):
        if (child := os.fork()) == 0:
            try:
                ports.stream.append(TOPIC, [Message(0, f"child {moment}".encode())])
            except ConfigError as error:
                os._exit(3 if "spawn" in str(error) else 4)
            os._exit(0)
        say(moment, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        ports.stream.append(TOPIC, [Message(0, f"parent {moment}".encode())])


if __name__ == "__main__":
    _, what, folder, name = sys.argv
    opened = open_ports(Path(folder), partitions=4, shards=64, durable=what == "durable")
    {"durable": append_for_ever, "quick": append_for_ever, "count": count_by_compare_and_swap, "fork": fork}[what](
        opened, name
    )
