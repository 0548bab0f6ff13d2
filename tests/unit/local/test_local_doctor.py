"""`watchkeeper doctor`: each thing that can be wrong is planted, named, and has its advice; nothing is changed."""

import os
import socket
import sqlite3

import msgspec
import pytest

from tests.ports import free_ports
from watchkeeper.ports import Message
from watchkeeper.records import DeadLetter
from watchkeeper.topology import DEAD_LETTER
from watchkeeper_local import checks
from watchkeeper_local.cli import main
from watchkeeper_local.lock import holder, only_one
from watchkeeper_local.node import clock, open_node
from watchkeeper_local.settings import Settings

NOW = 1_790_000_000_000


@pytest.fixture
def data(tmp_path):
    """A sound data folder, which nobody uses."""
    folder = tmp_path / "data"
    open_node(Settings(data_dir=str(folder), receivers=()), durable=False)[0].close()
    return folder


@pytest.fixture
def doctor(data, capsys):
    """Runs it on free ports; answers the exit code and what it has said."""
    http, mqtt = free_ports()

    def run(*arguments, folder=data):
        ports = () if "--http-port" in arguments else ("--http-port", str(http))
        code = main(["doctor", "--data-dir", str(folder), "--mqtt-port", str(mqtt), *ports, *arguments])
        return code, capsys.readouterr().out

    return run


def test_all_is_well_in_a_sound_folder_that_nobody_uses(doctor):
    code, said = doctor()
    assert code == 0, said
    assert said.endswith("all is well\n")
    assert "none are open" in said


def test_a_folder_that_is_not_there_yet_is_no_fault_and_is_not_made(doctor, tmp_path):
    code, said = doctor(folder=tmp_path / "new" / "data")
    assert code == 0, said
    assert "is not there yet; `watchkeeper up` makes it" in said
    assert not (tmp_path / "new").exists()


def test_a_damaged_database_is_named(doctor, data):
    file = data / "watchkeeper.db"
    body = bytearray(file.read_bytes())
    body[16_384:] = os.urandom(len(body) - 16_384)
    file.write_bytes(body)
    code, said = doctor()
    assert code == 1
    assert "restore a copy" in said


@pytest.mark.parametrize(
    ("pragma", "said"), [("application_id=1", "of another program"), ("user_version=99", "has schema 99")]
)
def test_a_database_of_others_is_named(doctor, data, pragma, said):
    connection = sqlite3.connect(data / "watchkeeper.db")
    connection.execute(f"PRAGMA {pragma}")
    connection.close()
    assert doctor()[0] == 1
    assert said in doctor()[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--shards", "8"], "set shards to 4"),
        (["--http-port", "x"], "--http-port: 'x' does not fit"),
        (["--receivers", "telegram=x"], "unknown receiver"),
        (["--host", "0.0.0.0"], "set api_keys"),  # noqa: S104 - it is refused
        (["--knowledge-base", "/no/such/folder"], "no such folder"),
    ],
)
def test_a_wrong_setting_is_named_and_the_rest_is_looked_at(doctor, arguments, said):
    code, text = doctor(*arguments)
    assert code == 1
    assert said in text
    assert "disk" in text


def test_a_mistake_in_the_knowledge_base_is_named_with_its_line(doctor, tmp_path):
    rules = tmp_path / "kb" / "rules"
    rules.mkdir(parents=True)
    (rules / "pump.yaml").write_text("rules:\n  - idd: x\n")
    code, said = doctor("--knowledge-base", str(tmp_path / "kb"))
    assert code == 1
    assert "rules/pump.yaml:" in said


def test_a_port_that_another_program_has_is_named(doctor):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        code, said = doctor("--http-port", port)
    assert code == 1
    assert f"port {port}" in said
    assert "choose another --http-port" in said


def test_open_dead_letters_are_counted(doctor, data):
    ports, _ = open_node(Settings(data_dir=str(data), receivers=()), durable=False)
    letter = msgspec.json.encode(DeadLetter("a", "clean", "bad", b"", NOW))
    ports.stream.append(DEAD_LETTER.name, [Message(0, letter)] * 2)
    ports.close()
    code, said = doctor()
    assert code == 1
    assert "1 are open" in said


def test_who_holds_the_folder_but_does_not_answer_is_named(doctor, data):
    assert holder(data) == ""
    with only_one(data):
        assert holder(data) == str(os.getpid())
        code, said = doctor()
    assert code == 1
    assert f"(process {os.getpid()}) does not listen here" in said
    assert "give --http-port and --api-key as it was started with" in said


def test_a_partition_that_waits_and_does_not_move_is_blocked(data):
    ports, _ = open_node(Settings(data_dir=str(data), receivers=()), durable=False)
    assert checks.blocked(data, 0) == []
    ports.stream.append("final-data-storage", [Message(2, b"{}")])
    assert checks.blocked(data, 0) == ["store at final-data-storage/2, 1 wait"]
    ports.stream.commit("store", "final-data-storage", 2, 0)
    assert checks.blocked(data, 0) == []
    ports.close()


def test_a_clock_that_cannot_be_right_is_named(data):
    assert "in the past" in checks.check_clock(1_000_000_000_000, data).said
    assert "set back" in checks.check_clock(clock() - 3_600_000, data).advice
    assert not checks.check_clock(clock(), data).advice


def test_an_old_python_and_a_full_disk_are_named(monkeypatch, tmp_path):
    assert "3.11" in checks.check_python((3, 9, 1)).advice
    monkeypatch.setattr(checks, "LEAST_FREE", 10**18)
    assert "make room" in checks.check_disk(tmp_path / "not" / "there").advice


def test_a_folder_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    assert "is a file" in checks.check_folder(tmp_path / "file" / "data").said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    assert "is not writable" in checks.check_folder(tmp_path).said
