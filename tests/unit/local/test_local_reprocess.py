"""`watchkeeper reprocess` over a data folder, also while something else stores into it."""

import itertools
import json
import multiprocessing
import re
import shutil

import pytest

from tests.unit.reprocessing.support import HOUR, SECOND, SHARDS, T0, World, bundle, wave
from watchkeeper.memory import MemoryReceiver
from watchkeeper_local.cli import main
from watchkeeper_local.sqlite import open_ports

FROM, TO = str(T0 + HOUR), "2026-11-18T16:00:00Z"
FLAGS = ("--shards", str(SHARDS), "--partitions", "2")


def opened(folder):
    return open_ports(folder, partitions=2, shards=SHARDS, receivers={"memory": MemoryReceiver()}, durable=False)


@pytest.fixture(scope="module")
def stored_folder(tmp_path_factory):
    """A data folder with some hours of a pump's readings, and a bundle of now; to be copied."""
    folder = tmp_path_factory.mktemp("stored") / "data"
    ports = opened(folder)
    made = World(ports)
    for low in range(0, 1500, 100):
        made.send("pump-01", T0 + low * 10 * SECOND, wave(1500)[low : low + 100])
    made.put_in_force(bundle(110))
    ports.close()
    return folder


@pytest.fixture
def world(tmp_path, stored_folder):
    ports = opened(shutil.copytree(stored_folder, tmp_path / "data"))
    yield World(ports, in_force=bundle(110))
    ports.close()


@pytest.fixture
def run(tmp_path, capsys):
    def run(*arguments):
        code = main(["reprocess", *arguments, "--data-dir", str(tmp_path / "data"), *FLAGS])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def replayed(run, *more):
    code, said = run("--from", FROM, "--to", TO, "--stage", "rule_check", *more)
    assert code == 0, said
    return re.findall(r"r-[0-9a-f]{12}", said)[0]


def test_a_span_is_replayed_compared_promoted_and_discarded(world, run):
    before = world.rows()
    assert run("list") == (0, "nothing is reprocessed\n")
    name = replayed(run)
    assert replayed(run) == name  # again: it is done
    assert re.search(
        rf"^{name}  ready  2026-11-18 1\d:00:00  2026-11-18 16:00:00  rule_check ", run("list")[1], re.MULTILINE
    )
    (listed,) = json.loads(run("list", "--json")[1])
    assert (listed["id"], listed["stage"], listed["done"]) == (name, "rule_check", SHARDS)

    code, said = run("compare", name[:6])
    assert code == 0
    assert re.match(r"device +what +before +after +came +went\n", said)
    assert re.search(r"^pump-01  readings: rule:pump.flow-high +\d+ +\d+ +0 +\d+$", said, re.MULTILINE)
    assert said.endswith(" readings; 1 device differs.\n")
    rule = next(x for x in json.loads(run("compare", name, "--json")[1]) if x["what"].startswith("readings: rule"))
    assert rule["before"] - rule["went"] == rule["after"] > 0

    assert run("promote", name)[0] == 0
    assert len(world.rows()) == len(before)
    assert world.rows() != before
    assert run("rollback", name) == (0, f"{name} is rolled back: the readings are as they were.\n")
    assert world.rows() == before
    assert run("discard", name) == (0, f"{name} is discarded.\n")
    assert run("list") == (0, "nothing is reprocessed\n")


def test_an_earlier_bundle_can_be_named(world, run):
    name = replayed(run, "--bundle", bundle().version, "--lead-in", "1h")
    assert run("compare", name)[1].endswith(" readings; nothing differs.\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "needs --from, --to and --stage"),
        (("--from", FROM, "--to", "soon", "--stage", "clean"), "--to: not a time: 'soon'"),
        (("--from", TO, "--to", FROM, "--stage", "clean"), "must be before"),
        (("--from", FROM, "--to", TO, "--stage", "clean", "--lead-in", "x"), "--lead-in: not a duration"),
        (("--from", FROM, "--to", TO, "--stage", "clean", "--bundle", "b-1"), "there is no bundle 'b-1'"),
        (("--from", FROM, "--to", TO, "--stage", "clean", "--model", "m-1"), "there is no model 'm-1'"),
        (("promote",), "take one"),
        (("promote", "r-1"), "no reprocessing begins with 'r-1'"),
        (("list", "--from", FROM), "takes none of"),
        (("discard", "r-1", "--json"), "--json belongs to"),
    ],
)
def test_what_is_asked_wrongly_is_told(world, run, arguments, said):
    code, text = run(*arguments)
    assert code == 2
    assert said in text


def test_a_folder_without_data_is_told(run):
    assert run("list")[0] == 2


# --- while something else stores ------------------------------------------------------------------------------------


def keep_storing(folder, ready, stop, count):
    """A process with a pipeline of its own that stores into the same shard, within the span, until it is told."""
    ports = opened(folder)
    world = World(ports)
    world.put_in_force(bundle(110))
    while not stop.wait(0.03):  # some thirty batches a second: a promote gives up against one that never rests
        world.send("pump-01", T0 + 2 * HOUR + 7 + count.value, [101.5], late=12 * HOUR)
        count.value += 1
        ready.set()
    ports.close()


def test_nothing_is_lost_while_another_process_stores_into_the_span(world, run, tmp_path):
    name = replayed(run)
    count = len(world.rows())
    spawn = multiprocessing.get_context("spawn")
    ready, stop, sent = spawn.Event(), spawn.Event(), spawn.Value("i", 0)
    process = spawn.Process(target=keep_storing, args=(tmp_path / "data", ready, stop, sent))
    process.start()
    try:
        assert ready.wait(60)
        for action in itertools.cycle(("promote", "rollback")):
            assert run(action, name)[0] == 0
            assert process.is_alive()
            if action == "promote" and sent.value > 3:
                break
    finally:
        stop.set()
        process.join(30)
        process.kill()
    assert process.exitcode == 0
    rows = world.rows()
    assert len(rows) == count + sent.value
    assert len([row for row in rows if row[2] - row[1] == 12 * HOUR]) == sent.value
