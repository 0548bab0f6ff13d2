"""The watched folder: each file once, when it is complete, and nothing of it twice."""

import gzip
import os

import msgspec
import pytest

from watchkeeper.admission import Admission
from watchkeeper.errors import ConfigError, Unavailable
from watchkeeper.intake import slices
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.memory import memory_ports
from watchkeeper.packs import Pack
from watchkeeper.published import Published
from watchkeeper.topology import BATCH_DATA_INGESTION
from watchkeeper_local.watched_folder import QUIET_S, Watcher

NOW = 1_790_000_000_000


class Folder:
    """A watched folder, and what was taken from it."""

    def __init__(self, path):
        self.path, self.ports, self.time = path, memory_ports(2), 0.0
        self.start()

    def start(self, between=lambda: None):
        """A new watcher, as after a restart."""
        Watcher.prepare(self.path)
        admission = Admission(self.ports, Published(self.ports, Bundle.from_files({})), 16, lambda: NOW)
        self.watcher = Watcher(self.path, admission, between, lambda: self.time)

    def put(self, name, content):
        (self.path / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    def look(self):
        """Twice, so far apart that what has not changed is complete."""
        before = self.watcher.look()
        self.time += QUIET_S + 0.1
        return before + self.watcher.look()

    def readings(self):
        topic = BATCH_DATA_INGESTION.name
        stored = [item for p in range(2) for item in self.ports.stream.read(topic, p, -1, 10_000)]
        return [(r.device, r.values) for item in stored for r in Pack.decode(item.value).readings()]

    def names(self, where):
        return sorted(path.name for path in (self.path / where).iterdir())

    def told(self, where, name):
        return (self.path / where / f"{name}.error").read_text()


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def rows(first, count):
    return "".join(f"{NOW - 10_000_000 + i},{i}\n" for i in range(first, first + count))


FORMS = {
    "pump-7.csv": b"ts,flow\n1709294400000,1\n",
    "pump-7.csv.gz": gzip.compress(b"ts,flow\n1709294400000,1\n"),
    "x.ndjson": b'{"device":"pump-7","values":{"flow":1}}\n',
    "x.json": b'[{"device":"pump-7","values":{"flow":1}}]',
    "x.msgpack": msgspec.msgpack.encode([{"device": "pump-7", "values": {"flow": 1}}]),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_file_of_each_form_is_taken_and_moved_to_done(folder, name):
    folder.put(name, FORMS[name])
    assert folder.look() == 1
    assert folder.readings() == [("pump-7", {"flow": 1})]
    assert (folder.names("done"), folder.names("failed")) == ([name], [])


def test_a_file_that_grows_waits_until_it_is_quiet(folder):
    folder.put("a.csv", "ts,flow\n")
    for count in range(3):
        folder.watcher.look()
        folder.time += QUIET_S - 0.1
        with (folder.path / "a.csv").open("a") as file:
            file.write(rows(count, 1))
    assert folder.readings() == []
    assert folder.look() == 1
    assert len(folder.readings()) == 3


def test_a_file_that_changes_while_it_is_read_is_not_over_and_nothing_is_stored_twice(folder, monkeypatch):
    monkeypatch.setattr(slices, "SLICE_BYTES", 1_000)
    monkeypatch.setattr(slices, "RECORD_BYTES", 100)
    folder.put("a.csv", "ts,flow\n" + rows(0, 400))
    more = [rows(400, 100)]

    def grow():
        if more:
            with (folder.path / "a.csv").open("a") as file:
                file.write(more.pop())

    folder.start(grow)
    assert folder.look() == 0
    assert folder.look() == 1
    values = sorted(values["flow"] for _, values in folder.readings())
    assert sorted(set(values)) == list(range(500))
    assert len(values) - 500 < 1_000 / 15  # the last slice, whose readings have ids that clean knows
    assert folder.names("done") == ["a.csv"]


@pytest.mark.parametrize("stop_after", [1, 3, 7])
def test_a_restart_in_the_middle_neither_loses_nor_doubles(folder, monkeypatch, stop_after):
    monkeypatch.setattr(slices, "SLICE_BYTES", 1_000)
    monkeypatch.setattr(slices, "RECORD_BYTES", 100)
    folder.put("a.csv", "flow\n" + "".join(f"{i}\n" for i in range(2_000)))  # without times: what is doubled is seen
    left = [stop_after]

    def crash():
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt

    folder.start(crash)
    with pytest.raises(KeyboardInterrupt):
        folder.look()
    assert 0 < len(folder.readings()) < 2_000
    folder.start()
    assert folder.look() == 1
    assert sorted(values["flow"] for _, values in folder.readings()) == list(range(2_000))


def test_storage_that_is_away_leaves_the_file_where_it_is(folder, monkeypatch):
    append = folder.ports.stream.append

    def away(topic, messages):
        raise Unavailable("no room on the disk")

    folder.put("a.csv", "ts,flow\n" + rows(0, 3))
    monkeypatch.setattr(folder.ports.stream, "append", away)
    assert folder.look() == 0
    assert (folder.path / "a.csv").exists()
    monkeypatch.setattr(folder.ports.stream, "append", append)
    assert folder.look() == 1
    assert len(folder.readings()) == 3


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.txt", "hello", "its ending is none of .csv"),
        ("a.csv", "only,names\n", ""),
        ("a.csv", "a,a\n1,2\n", "once each"),
        ("a.csv.gz", "no gzip", "not gzip"),
        ("a.csv.gz", gzip.compress(b"ts,flow\n" + rows(0, 9).encode())[:-5], "ends too early"),
        ("a.json", "{", "not JSON"),
        ("a.ndjson", "{\n{\n", "0 readings are taken, 2 rejected"),
        ("_.csv", "ts,flow\n" + rows(0, 1), "'device'"),
    ],
    ids=["ending", "names only", "twice", "no gzip", "cut off", "no JSON", "no NDJSON", "whose"],
)
def test_what_cannot_be_taken_is_moved_to_failed_with_the_reason_beside_it(folder, name, content, why):
    folder.put(name, content)
    assert folder.look() == 1
    if why:
        assert folder.names("failed") == [name, f"{name}.error"]
        assert why in folder.told("failed", name)
    else:
        assert folder.names("done") == [name]


def test_rejected_records_are_named_beside_a_file_that_was_taken(folder):
    folder.put("a.csv", "ts,flow\n" + rows(0, 2) + "yesterday,1\n")
    folder.look()
    assert folder.names("done") == ["a.csv", "a.csv.error"]
    assert "2 readings are taken, 1 rejected" in folder.told("done", "a.csv")
    assert "record 2: ts 'yesterday'" in folder.told("done", "a.csv")


def test_links_and_pipes_are_refused_and_what_they_point_to_is_left_alone(folder, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.csv"
    secret.write_text("ts,flow\n" + rows(0, 1))
    (folder.path / "link.csv").symlink_to(secret)
    os.mkfifo(folder.path / "pipe.csv")
    assert folder.look() == 2
    assert "symbolic link" in folder.told("failed", "link.csv")
    assert "not a regular file" in folder.told("failed", "pipe.csv").lower() or "cannot be read" in folder.told(
        "failed", "pipe.csv"
    )
    assert folder.readings() == []
    assert secret.exists()


def test_a_file_of_a_name_that_was_there_before_gets_a_number(folder):
    for count in range(1, 4):
        folder.put("a.csv.gz", gzip.compress(b"ts,flow\n" + rows(count, 1).encode()))
        folder.look()
    assert folder.names("done") == ["a-1.csv.gz", "a-2.csv.gz", "a.csv.gz"]
    assert len(folder.readings()) == 3


def test_the_same_file_again_stores_nothing_twice(folder):
    for _ in range(2):
        folder.put("a.csv", "flow\n1\n2\n")
        folder.look()
    assert len(folder.readings()) == 2


def test_unfinished_and_hidden_files_and_folders_are_left_alone(folder):
    for name in (".a.csv", "a.csv.part", "a.csv.tmp", "a.csv~"):
        folder.put(name, "ts,flow\n" + rows(0, 1))
    (folder.path / "b.csv").mkdir()
    assert folder.look() == 0
    assert folder.names("done") == folder.names("failed") == []


def test_a_file_that_may_not_be_moved_is_taken_once(folder, monkeypatch):
    folder.put("a.csv", "flow\n1\n")
    (folder.path / "done").rmdir()
    for _ in range(3):
        assert folder.look() == 0
    assert len(folder.readings()) == 1
    (folder.path / "done").mkdir()
    assert folder.look() == 1
    assert folder.names("done") == ["a.csv"]


def test_a_note_that_cannot_be_written_costs_nothing_else(folder, monkeypatch, caplog):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    (folder.path / "a.txt").write_bytes(b"x")
    assert folder.look() == 1
    assert folder.names("failed") == ["a.txt"]
    assert "No space left on device" in caplog.text


@pytest.mark.parametrize("make", ["nothing", "file"])
def test_a_folder_that_is_none_is_said_at_the_start(tmp_path, make):
    path = tmp_path / "in"
    if make == "file":
        path.write_text("")
    with pytest.raises(ConfigError, match="watch_folder"):
        Watcher.prepare(path)
