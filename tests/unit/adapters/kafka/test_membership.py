"""Which partitions are whose, over brokers that really share them out."""

import contextlib
import itertools
import signal
import subprocess
import sys
import time

import pytest

from watchkeeper_adapters.kafka.connection import Connection
from watchkeeper_adapters.kafka.membership import Membership
from watchkeeper_adapters.kafka.topics import make_topics

ALL = frozenset(range(4))
numbers = itertools.count()
MEMBER = """
import sys, time
from watchkeeper_adapters.kafka.connection import Connection
from watchkeeper_adapters.kafka.membership import Membership

_, brokers, prefix, member = sys.argv
membership = Membership(Connection(brokers=brokers), "workers", prefix=prefix, member=member)
while len(membership.owned) < 4:
    time.sleep(0.05)
print("all are mine", flush=True)
time.sleep(600)
"""


def until(done, patience_s=30.0):
    end = time.monotonic() + patience_s
    while not done():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.05)


@pytest.fixture
def prefix():
    return f"membership-{next(numbers)}-"


@pytest.fixture
def join(prefix):
    with contextlib.ExitStack() as left:

        def member(server, name=""):
            made = Membership(Connection(brokers=server.address), "workers", prefix=prefix, member=name)
            left.callback(made.close)
            return made

        yield member


def test_members_share_the_partitions_and_who_leaves_leaves_them_to_the_others(group_server, prefix, join):
    make_topics(Connection(brokers=group_server.address), 4, prefix=prefix)
    one = join(group_server)
    until(lambda: one.owned == ALL)
    before = one.generation
    other = join(group_server)
    until(lambda: one.owned and other.owned and one.owned | other.owned == ALL)
    assert not one.owned & other.owned
    assert one.generation > before
    other.close()
    until(lambda: one.owned == ALL)


def test_a_member_with_a_name_that_was_killed_gets_its_partitions_back_at_once(kafka_server, prefix, join):
    make_topics(Connection(brokers=kafka_server.address), 4, prefix=prefix)
    asked = [sys.executable, "-c", MEMBER, kafka_server.address, prefix, "worker-0"]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout.readline() == "all are mine\n"
        killed.send_signal(signal.SIGKILL)
    again = join(kafka_server, "worker-0")
    until(lambda: again.owned == ALL)
