"""Which bundle is in force: published, rolled back, raced for, kept over a restart, and taken up by workers in time."""

import msgspec
import pytest

from tests.unit.stages.driving import NOW, SECOND, changed, pack_of, shipped
from watchkeeper.bundles import (
    CURRENT_BUNDLE,
    MOVES_KEPT,
    bundle_in_force,
    bundle_key,
    bundle_versions,
    publish_at_start,
    publish_bundle,
    roll_back_bundle,
    stored_bundle,
)
from watchkeeper.errors import Conflict, KnowledgeError
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.memory import MemoryBlobs, memory_ports
from watchkeeper.pipeline import PIPELINE
from watchkeeper.ports import Message
from watchkeeper.published import Published
from watchkeeper.records import Anomaly
from watchkeeper.topology import IOT_DATA_INGESTION, RAG_ERROR_REPORTING
from watchkeeper.worker import Worker


def generic(minutes):
    text = f'class: generic\nmatch: ["*"]\ninterval: {minutes}m\nimportance: normal\n'
    return Bundle.from_files({"devices/generic.yaml": text})


ONE, TWO, THREE = generic(1), generic(2), generic(3)


@pytest.fixture
def blobs():
    return MemoryBlobs()


def in_force(blobs):
    return bundle_in_force(blobs).version


def test_what_is_published_is_in_force_and_what_was_before_it_is_remembered(blobs):
    publish_bundle(blobs, ONE, now=1)
    publish_bundle(blobs, TWO, now=2)
    state = bundle_in_force(blobs)
    assert (state.version, state.previous) == (TWO.version, ONE.version)
    assert [(move.version, move.at, move.how) for move in state.moves] == [
        (ONE.version, 1, "published"),
        (TWO.version, 2, "published"),
    ]
    assert bundle_versions(blobs) == sorted([ONE.version, TWO.version])


def test_a_rollback_goes_to_the_bundle_before_or_to_a_named_one_and_is_itself_a_move(blobs):
    for bundle in (ONE, TWO, THREE):
        publish_bundle(blobs, bundle)
    assert roll_back_bundle(blobs, now=9).version == TWO.version
    assert bundle_in_force(blobs).moves[-1].how == "rolled back"
    assert roll_back_bundle(blobs).version == THREE.version  # it takes the rollback back
    assert roll_back_bundle(blobs, ONE.version).version == ONE.version == in_force(blobs)


def test_a_rollback_to_what_is_not_there_or_not_valid_changes_nothing(blobs):
    publish_bundle(blobs, ONE)
    with pytest.raises(KnowledgeError, match="no earlier bundle"):
        roll_back_bundle(blobs)
    with pytest.raises(KnowledgeError, match=f"no bundle 'b-9'; stored are: {ONE.version}"):
        roll_back_bundle(blobs, "b-9")
    blobs.put(bundle_key("b-1"), b'{"rules/x.yaml": "nonsense: ["}')
    with pytest.raises(KnowledgeError, match=r"rules/x\.yaml:1"):
        roll_back_bundle(blobs, "b-1")
    blobs.put(bundle_key("b-2"), TWO.encode())
    with pytest.raises(KnowledgeError, match="changed after it was published"):
        roll_back_bundle(blobs, "b-2")
    assert in_force(blobs) == ONE.version


def test_a_bundle_that_is_not_what_its_files_say_is_never_put_in_force(blobs):
    publish_bundle(blobs, ONE)
    bad = msgspec.structs.replace(TWO, files={"rules/x.yaml": "nonsense: ["}, version="b-bad")
    with pytest.raises(KnowledgeError, match=r"rules/x\.yaml:1"):
        publish_bundle(blobs, bad)
    with pytest.raises(KnowledgeError, match="does not hold what its version says"):
        publish_bundle(blobs, msgspec.structs.replace(TWO, version="b-other"))
    assert (in_force(blobs), bundle_versions(blobs)) == (ONE.version, [ONE.version])


@pytest.mark.parametrize(
    "move",
    [
        lambda blobs: publish_bundle(blobs, TWO),
        lambda blobs: publish_at_start(blobs, TWO, "/kb"),
        lambda blobs: [blobs.put(bundle_key(TWO.version), TWO.encode()), roll_back_bundle(blobs, TWO.version)],
    ],
    ids=["publish", "start", "rollback"],
)
def test_of_two_who_publish_at_the_same_moment_one_is_told_in_words(blobs, monkeypatch, move):
    publish_bundle(blobs, ONE)
    put, others = blobs.put, [THREE]

    def somebody_else_first(key, data, *expect):
        if key == CURRENT_BUNDLE and others:
            publish_bundle(blobs, others.pop())
        return put(key, data, *expect)

    monkeypatch.setattr(blobs, "put", somebody_else_first)
    with pytest.raises(Conflict, match=f"{TWO.version} was not put in force: somebody else.*{THREE.version} is in"):
        move(blobs)
    assert (in_force(blobs), bundle_in_force(blobs).previous) == (THREE.version, ONE.version)


def test_a_pointer_from_before_there_was_a_history_is_read_and_rubbish_is_mended_by_the_next(blobs):
    blobs.put(bundle_key(ONE.version), ONE.encode())
    blobs.put(CURRENT_BUNDLE, ONE.version.encode())
    assert in_force(blobs) == ONE.version
    publish_bundle(blobs, TWO)
    assert roll_back_bundle(blobs).version == ONE.version
    blobs.put(CURRENT_BUNDLE, b"{")
    publish_bundle(blobs, THREE)
    assert in_force(blobs) == THREE.version


def test_the_history_does_not_grow_without_bound(blobs):
    for number in range(MOVES_KEPT + 5):
        publish_bundle(blobs, (ONE, TWO)[number % 2])
    assert len(bundle_in_force(blobs).moves) == MOVES_KEPT


# --- the start of the runtime ---------------------------------------------------------------------------------------


def test_a_start_publishes_a_folder_that_is_new_or_has_changed(blobs):
    assert publish_at_start(blobs, ONE, "/kb").version == ONE.version
    assert publish_at_start(blobs, TWO, "/kb").version == TWO.version
    assert publish_at_start(blobs, ONE, "/kb").version == ONE.version


def test_a_restart_with_an_unchanged_folder_undoes_neither_a_rollback_nor_what_was_published_beside_it(blobs):
    publish_at_start(blobs, ONE, "/kb")
    publish_at_start(blobs, TWO, "/kb")
    roll_back_bundle(blobs)
    assert publish_at_start(blobs, TWO, "/kb").version == ONE.version
    publish_bundle(blobs, THREE, folder="/other")
    assert publish_at_start(blobs, TWO, "/kb").version == THREE.version


def test_a_folder_published_by_hand_and_rolled_back_is_not_published_again_by_a_start(blobs):
    publish_at_start(blobs, ONE, "/kb")
    publish_bundle(blobs, TWO, folder="/kb")
    roll_back_bundle(blobs)
    assert publish_at_start(blobs, TWO, "/kb").version == ONE.version


def test_a_start_with_another_folder_is_a_choice_and_so_is_going_back(blobs):
    publish_at_start(blobs, ONE, "/kb")
    assert publish_at_start(blobs, TWO, "/other").version == TWO.version
    assert publish_at_start(blobs, ONE, "/kb").version == ONE.version


def test_the_first_start_over_an_old_data_folder_publishes_as_it_always_did(blobs):
    blobs.put(bundle_key(ONE.version), ONE.encode())
    blobs.put(CURRENT_BUNDLE, ONE.version.encode())
    assert publish_at_start(blobs, TWO, "/kb").version == TWO.version


# --- workers --------------------------------------------------------------------------------------------------------

RULES = """
applies_to: pump
rules:
  - id: pump.hot
    metric: bearing_temperature
    above: {limit}
    severity: warning
    summary: The bearing is warm
    runbook: pump-bearing-wear.md
"""


def test_a_worker_takes_up_what_is_published_and_rolled_back_within_a_minute_and_says_so_on_the_next_anomaly():
    old, new = (changed(rules__pump=RULES.format(limit=limit)) for limit in (70, 50))
    ports, now = memory_ports(1), [NOW]
    publish_bundle(ports.blobs, old)
    worker = Worker(ports, Published(ports, shipped()), shards=1, clock=lambda: now[0], lanes=PIPELINE[:3], timers=())
    taken = -1

    def next_anomalies(*values):
        nonlocal taken
        for value in values:
            now[0] += SECOND
            pack = pack_of("pump-01", "bearing_temperature", [[now[0], value]])
            ports.stream.append(IOT_DATA_INGESTION.name, [Message(0, pack.encode())])
            while worker.step()["messages"]:
                pass
        came = ports.stream.read(RAG_ERROR_REPORTING.name, 0, taken, 100)
        taken = came[-1].offset if came else taken
        found = [msgspec.json.decode(message.value, type=Anomaly) for message in came]
        return [(each.phase, each.bundle) for each in found]

    assert next_anomalies(60) == []
    assert next_anomalies(71, 20) == [("open", old.version), ("clear", old.version)]
    publish_bundle(ports.blobs, new)
    now[0] += 58 * SECOND
    assert next_anomalies(60, 20) == [("open", new.version), ("clear", new.version)]
    roll_back_bundle(ports.blobs)
    now[0] += 58 * SECOND
    assert next_anomalies(60) == []
    assert next_anomalies(71) == [("open", old.version)]
    ports.blobs.put(bundle_key("b-bad"), b'{"rules/x.yaml": "nonsense: ["}')
    ports.blobs.put(CURRENT_BUNDLE, b'{"version": "b-bad"}')
    now[0] += 58 * SECOND
    assert next_anomalies(20) == [("clear", old.version)]


def test_a_stored_bundle_is_what_was_published(blobs):
    publish_bundle(blobs, TWO)
    assert stored_bundle(blobs, TWO.version).files == TWO.files
