"""`watchkeeper dead-letters` over a data folder: what is listed, goes back, and is remembered, also over crashes."""

import dataclasses
import json

import msgspec
import pytest

from watchkeeper.memory import memory_ports
from watchkeeper.outcome import RawMessage
from watchkeeper.pipeline import PIPELINE, STAGES
from watchkeeper.ports import Message
from watchkeeper.published import Published
from watchkeeper.records import DeadLetter
from watchkeeper.run import Runner
from watchkeeper.stages.ingest import admit
from watchkeeper.topology import DEAD_LETTER, IOT_DATA_INGESTION
from watchkeeper.worker import Worker
from watchkeeper_local import dead_letters
from watchkeeper_local.cli import main
from watchkeeper_local.dead_letters import shown_body
from watchkeeper_local.knowledge import read_bundle
from watchkeeper_local.letter_desk import Desk
from watchkeeper_local.node import open_node
from watchkeeper_local.settings import Settings

NOW = 1_790_000_000_000
HEADERS = {"device": "pump-1", "tenant": "default", "received": str(NOW - 5000)}


class Place:
    """A data folder, and what sends, works and looks there."""

    def __init__(self, folder):
        self.settings = Settings(data_dir=str(folder), receivers=(), shards=4)
        self.ports, self.published = open_node(self.settings, durable=False)
        self.now = NOW

    def desk(self):
        return Desk(self.ports, self.published, STAGES["ingest"], 4, lambda: self.now)

    def hub(self, body):
        self.ports.stream.append("device-telemetry", [Message(0, body, HEADERS)])
        self.work()

    def http(self, *readings, request="r"):
        message = RawMessage(msgspec.json.encode(readings), self.now, "default", request=request)
        ingest = Runner(STAGES["ingest"], None, self.ports, self.published, 4, lambda: self.now)
        ingest.request(lambda ctx: admit([message], IOT_DATA_INGESTION, ctx)[0])
        self.work()

    def work(self):
        worker = Worker(self.ports, self.published, shards=4, clock=lambda: self.now)
        while worker.step()["messages"]:
            pass

    def open(self):
        return [found.letter for found in self.desk().open()]

    def counts(self):
        stages = self.ports.meter.total("0001-01-01", "9999-12-31").values()
        return {name: sum(c.get(name, 0) for c in stages) for name in ("accepted", "stored", "dead", "deduplicated")}

    def command(self, *arguments):
        return main(["dead-letters", *arguments, "--data-dir", self.settings.data_dir, "--shards", "4"])


@pytest.fixture
def place(tmp_path, monkeypatch):
    made = Place(tmp_path / "data")
    monkeypatch.setattr(dead_letters, "clock", lambda: made.now)
    close = made.ports.close
    yield made
    close()


def early(place):
    """A reading from ten minutes ahead is quarantined; then the time has come."""
    place.http({"device": "pump-1", "ts": NOW + 600_000, "values": {"flow": 1.5}})
    place.now = NOW + 700_000


def test_a_quarantined_reading_is_redriven_when_its_time_has_come_and_stored_once(place, capsys):
    early(place)
    assert place.command("redrive", "--all") == 0
    assert "redriven" in capsys.readouterr().out
    place.work()
    assert place.open() == []
    assert place.counts() == {"accepted": 2, "stored": 1, "dead": 1, "deduplicated": 0}


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("transactions", [True, False])
def test_a_crash_before_it_is_remembered_redrives_again_and_the_reading_is_stored_once(
    place, monkeypatch, transactions
):
    if not transactions:  # a runtime whose adapters cannot undo: what was sent stays sent
        place.ports = memory_ports()
        place.published = Published(place.ports, read_bundle())
    early(place)
    (found,) = place.desk().open()
    with monkeypatch.context() as broken:
        broken.setattr(Desk, "_remember", _crash)
        with pytest.raises(Crash):
            place.desk().redrive(found)
    place.work()
    assert [letter.id for letter in place.open()] == [found.letter.id]
    assert place.counts()["stored"] == (0 if transactions else 1)
    place.desk().redrive(found)
    place.work()
    assert place.open() == []
    assert (place.counts()["stored"], place.counts()["deduplicated"]) == (1, 0 if transactions else 1)


def _crash(*_):
    raise Crash


def test_what_ingest_still_refuses_stays_open_and_makes_no_second_letter(place, capsys):
    place.http({"device": "pump 1", "values": {"flow": 1.5}})
    assert place.command("redrive", "--all") == 1
    assert "stays open: device 'pump 1'" in capsys.readouterr().out
    assert len(place.open()) == 1
    assert place.command("discard", place.open()[0].id) == 0
    assert place.counts() == {"accepted": 1, "stored": 0, "dead": 1, "deduplicated": 0}


def test_a_message_of_the_hub_goes_back_to_its_topic_as_it_was_and_is_dead_again_under_a_new_id(place):
    place.hub(b"\xff{")
    (first,) = place.open()
    assert (first.body, first.received) == (b"\xff{", NOW - 5000)
    assert place.command("redrive", first.id[:6]) == 0
    topic = "device-telemetry"
    sent = [m for p in range(place.ports.stream.partitions(topic)) for m in place.ports.stream.read(topic, p, -1, 10)]
    assert [(message.value, message.headers) for message in sent] == [(b"\xff{", HEADERS)] * 2
    place.work()
    (second,) = place.open()
    assert (second.body, second.received) == (first.body, first.received)
    assert second.id != first.id


def test_a_pack_that_broke_a_stage_is_stored_when_the_stage_is_mended(place):
    def broken(batch, ctx):
        raise ZeroDivisionError

    worker = Worker(place.ports, place.published, shards=4, clock=lambda: place.now, lanes=_with_store(broken))
    place.ports.stream.append("device-telemetry", [Message(0, b'{"values": {"flow": 1.5}}', HEADERS)])
    while worker.step()["messages"]:
        pass
    place.hub(b'{"values": {"flow": 1.6}}')  # one after it is stored: its origin is higher
    assert [letter.stage for letter in place.open()] == ["store"]
    assert place.command("redrive", "--all") == 0
    place.work()
    counts = place.counts()
    assert (counts["stored"], counts["dead"], counts["deduplicated"]) == (2, 1, 0)
    assert counts["accepted"] == sum(counts.values()) - counts["accepted"]


def _with_store(take):
    return tuple(dataclasses.replace(stage, take=take) if stage.name == "store" else stage for stage in PIPELINE)


def letters(place, *names):
    made = [DeadLetter(name, "clean", "bad\x1b[2J", b"\x00", NOW, device="pump-1") for name in names]
    place.ports.stream.append(DEAD_LETTER.name, [Message(0, msgspec.json.encode(letter)) for letter in made])


def test_the_list_shows_each_id_once_and_no_control_characters(place, capsys):
    letters(place, "aaa", "bbb", "aaa")
    assert place.command("list") == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "when", "stage", "device", "reason", "bytes"]
    assert [row.split()[0] for row in rows] == ["aaa", "bbb"]
    assert "\x1b" not in rows[0]
    assert place.command("list", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [(item["id"], item["bytes"], item["device"]) for item in told] == [
        ("aaa", 1, "pump-1"),
        ("bbb", 1, "pump-1"),
    ]


def test_all_of_a_letter_is_shown_also_when_it_is_taken(place, capsys):
    letters(place, "aaa")
    assert place.command("show", "aaa") == 0
    said = capsys.readouterr().out
    assert "reason     bad [2J" in said
    assert said.endswith("\n\n00\n")
    place.command("discard", "aaa")
    capsys.readouterr()
    assert place.command("show", "aaa", "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"].startswith("discarded 20")


def test_what_is_taken_up_to_an_open_one_is_committed_and_may_be_pruned(place):
    letters(place, "aaa", "bbb", "ccc")
    place.command("discard", "bbb")
    assert place.ports.stream.committed("operators", DEAD_LETTER.name, 0) == -1
    place.command("discard", "aaa")
    assert place.ports.stream.committed("operators", DEAD_LETTER.name, 0) == 1
    assert place.ports.prune({DEAD_LETTER.name: ["operators"]}) == 2
    letters(place, "aaa")  # once more, later: it is taken already
    assert [letter.id for letter in place.open()] == ["ccc"]


def test_ids_may_stand_before_and_behind_the_flags(place, capsys):
    letters(place, "aaa", "bbb", "ccc")
    flags = ["--data-dir", place.settings.data_dir, "--shards", "4"]
    assert main(["dead-letters", "discard", *flags, "aaa", "bbb"]) == 0
    assert [letter.id for letter in place.open()] == ["ccc"]
    with pytest.raises(SystemExit):
        main(["dead-letters", "discard", *flags, "ccc", "--alll"])
    assert "did you mean --all?" in capsys.readouterr().err
    assert len(place.open()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["redrive"], "name letters by their ids, or all of them with --all"),
        (["discard", "aaa", "--all"], "name letters by their ids, or all of them with --all"),
        (["discard", "x"], "no open dead letter begins with 'x'"),
        (["discard", "a"], "several dead letters begin with 'a'"),
        (["list", "aaa"], "takes no id"),
        (["show"], "takes one"),
        (["list", "--all"], "--all belongs to"),
        (["redrive", "--all", "--json"], "--json belongs to"),
    ],
)
def test_what_is_wrongly_asked_is_said_and_changes_nothing(place, arguments, said, capsys):
    letters(place, "aaa", "ab")
    assert place.command(*arguments) == 2
    assert said in capsys.readouterr().err
    assert len(place.open()) == 2


def test_a_folder_without_data_is_not_made(tmp_path, capsys):
    assert main(["dead-letters", "list", "--data-dir", str(tmp_path / "none")]) == 2
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("body", "shown"), [(b'{"a": "\xc3\xa9"}', '{"a": "é"}'), (b"\xff{", "ff 7b"), (b"\x1b[", "1b 5b")]
)
def test_bytes_are_shown_as_text_only_where_it_can_be_printed(body, shown):
    assert shown_body(body) == shown
