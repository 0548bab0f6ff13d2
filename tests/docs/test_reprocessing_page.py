"""docs/operations.md on reprocessing: its commands do what it says, and its tables are what there is."""

import re

from tests.docs.pages import blocks, page
from tests.unit.reprocessing.support import HOUR, SHARDS, T0, World, bundle, wave
from watchkeeper.memory import MemoryReceiver
from watchkeeper.reprocessing.plan import STAGE_NAMES
from watchkeeper_local.cli import main
from watchkeeper_local.reprocess_command import ACTIONS, show_differences, time_of
from watchkeeper_local.sqlite import open_ports

PAGE = "docs/operations.md"
LINES = [line for block in blocks(PAGE, "bash") for line in block.text.splitlines() if " reprocess " in line]


def test_the_commands_of_the_page_do_what_it_says(tmp_path, monkeypatch, capsys):
    start = time_of("--from", LINES[0].split()[3])
    ports = open_ports(tmp_path, partitions=4, shards=SHARDS, receivers={"memory": MemoryReceiver()})
    world = World(ports)
    world.send("pump-01", start + HOUR, wave(800))
    world.put_in_force(bundle(110))
    monkeypatch.setenv("WATCHKEEPER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("WATCHKEEPER_SHARDS", str(SHARDS))
    before = world.rows()
    said = ""
    for line in LINES:
        name = re.search(r"r-[0-9a-f]{12}", said)
        words = [name[0][:4] if name and word.startswith("r-") else word for word in line.split()[1:]]
        assert main(words) == 0
        said += capsys.readouterr().out
    assert world.rows() == before
    ports.close()


def test_the_example_of_a_comparison_is_one(capsys):
    world = World()
    world.send("pump-01", T0, wave(1500))
    world.put_in_force(bundle(110))
    work = world.plan(T0 + HOUR, T0 + 4 * HOUR, lead_in=HOUR)
    work.replay()
    show_differences(world.ports, work.plan, as_json=False)
    (table,) = blocks(PAGE, "text")
    assert capsys.readouterr().out == table.text


def test_every_action_and_stage_is_told():
    assert {line.split()[2] for line in LINES} == {"--from", *ACTIONS} - {"run"}
    for stage in STAGE_NAMES:
        assert re.search(rf"^\| `{stage}` \|", page(PAGE), re.MULTILINE)
