"""States and other formats of earlier versions: migrated step by step, or refused by name."""

import msgspec
import pytest

from tests.unit.core.golden_samples import model, records, segment, states
from tests.unit.core.stages_of_tests import stage
from watchkeeper import wire
from watchkeeper.codec import StructCodec
from watchkeeper.detection import model as models
from watchkeeper.detection import state as detector
from watchkeeper.errors import DecodeError, ModelError, StateError
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.memory import MemoryBlobs, memory_ports
from watchkeeper.migration import migrated
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Key, Message
from watchkeeper.published import Published
from watchkeeper.records import Report
from watchkeeper.series import segment as segments
from watchkeeper.states import States, state_key
from watchkeeper.topology import ALERTS, DASHBOARD_ALERTS, DEAD_LETTER
from watchkeeper.worker import Worker


class Tally(msgspec.Struct, array_like=True):
    """A state in its third version: it was `[v, readings]`, then `[v, readings, site]`."""

    v: int
    by_site: dict[str, int]


def _first(content):
    version, readings = content
    return [version, readings, "here"]


def _second(content):
    version, readings, site = content
    return [version, {site: readings}]


CODEC = StructCodec(Tally, lambda: Tally(3, {}), {1: _first, 2: _second})


@pytest.mark.parametrize(
    ("stored", "is_now"), [([1, 5], {"here": 5}), ([2, 5, "north"], {"north": 5}), ([3, {"x": 1}], {"x": 1})]
)
def test_a_state_of_any_earlier_version_becomes_one_of_this(stored, is_now):
    data = msgspec.msgpack.encode(stored)
    assert CODEC.version_of(data) == stored[0]
    assert CODEC.decode(data) == Tally(3, is_now)


@pytest.mark.parametrize("stored", [[1], [1, 2, 3, 4], [2, 5], [2, {}, "x"], [1, None]])
def test_damaged_content_of_an_earlier_version_is_a_state_that_cannot_be_read(stored):
    with pytest.raises(StateError):
        CODEC.decode(msgspec.msgpack.encode(stored))


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (0, "a Tally of version 0; this release reads 1 to 3$"),
        (4, "a Tally of version 4; this release reads 1 to 3: run the newer release that wrote it"),
    ],
)
def test_a_version_that_is_not_known_is_refused_and_never_guessed_at(version, said):
    with pytest.raises(StateError, match=said):
        CODEC.decode(msgspec.msgpack.encode([version, {}]))


def test_a_migrated_state_is_written_in_this_version_when_it_changes():
    blobs, key = MemoryBlobs(), state_key("tally", "t", 0)
    blobs.put(key, msgspec.msgpack.encode([1, {"src": (4, 0)}, msgspec.msgpack.encode([1, 5])]))
    held = States(stage(codec=CODEC), "t", blobs)
    envelope = held.load([0])[0]
    assert (envelope.taken, envelope.state) == ({"src": (4, 0)}, Tally(3, {"here": 5}))
    held.save({0: envelope})
    again = States(stage(codec=CODEC), "t", blobs).load([0])[0]
    assert (again.taken, again.state) == (envelope.taken, envelope.state)
    assert CODEC.version_of(msgspec.msgpack.decode(blobs.get_many([key])[key].data)[2]) == 3


def test_a_detector_an_earlier_release_wrote_is_migrated(monkeypatch):
    state = states()["ml_score"]
    old = state.encode()
    present = detector.VERSION
    monkeypatch.setattr(detector, "VERSION", present + 1)
    monkeypatch.setattr(detector, "UPGRADES", {present: lambda content: content})
    assert detector.DetectorState.decode(old).encode() == state.encode() != old
    monkeypatch.setattr(detector, "VERSION", present)
    monkeypatch.setattr(detector, "UPGRADES", {1: lambda content: content})
    with pytest.raises(StateError, match=rf"{present + 1}; this release reads 1 to {present}.* newer release"):
        detector.DetectorState.decode(b"WKD%d" % (present + 1) + old[4:])


def test_a_segment_an_earlier_release_wrote_is_read(monkeypatch):
    old = segment()
    monkeypatch.setattr(segments, "VERSION", 2)
    monkeypatch.setattr(segments, "UPGRADES", {1: lambda header: [*header[:1], [{"line": "b"}], *header[2:]]})
    assert segments.Segment(old).tagsets == [{"line": "b"}]
    monkeypatch.setattr(segments, "VERSION", 0)
    with pytest.raises(StateError, match="segment of version 1"):
        segments.Segment(old)


def test_a_model_an_earlier_release_trained_is_read(monkeypatch):
    old = model().encode()
    monkeypatch.setattr(models, "VERSION", 2)
    monkeypatch.setattr(models, "UPGRADES", {1: lambda fields: {**fields, "version": "m-1 migrated"}})
    assert models.Model.decode(old).version == "m-1 migrated"
    monkeypatch.setattr(models, "VERSION", 0)
    with pytest.raises(ModelError, match="a model of version 1"):
        models.Model.decode(old)


def test_there_is_no_step_that_is_left_out():
    with pytest.raises(StateError, match="version 2 is damaged"):
        migrated([], 1, 3, {1: list}, "it", StateError)


def test_a_field_that_a_newer_minor_release_has_added_is_left_out():
    report = records()["report"]
    said = msgspec.json.decode(msgspec.json.encode(report)) | {"mood": "grim"}
    assert wire.read_record(msgspec.json.encode(said), Report) == report


def test_a_record_of_a_later_version_is_refused_by_name():
    said = msgspec.json.decode(msgspec.json.encode(records()["report"])) | {"v": 2}
    with pytest.raises(DecodeError, match="a Report of version 2; this release reads 1: run the newer release"):
        wire.read_record(msgspec.json.encode(said), Report)


def test_a_record_of_an_earlier_version_is_migrated(monkeypatch):
    monkeypatch.setattr(wire, "SCHEMA_VERSION", 2)
    monkeypatch.setattr(wire, "RECORD_UPGRADES", {Report: {1: lambda said: said | {"what": said["what"].upper()}}})
    read = wire.read_record(msgspec.json.encode(records()["report"]), Report)
    assert (read.what, read.v) == ("IT IS HOT.", 2)


def test_an_alert_of_a_later_version_is_kept_as_a_dead_letter_and_its_neighbours_are_told():
    alert = records()["alert"]
    later = msgspec.structs.replace(alert, id="ep-2", v=2)
    ports = memory_ports(1)
    ports.stream.append(DASHBOARD_ALERTS.name, [Message(0, msgspec.json.encode(each)) for each in (later, alert)])
    published = Published(ports, Bundle.from_files({}))
    worker = Worker(ports, published, shards=1, clock=lambda: 0, lanes=[STAGES["notify"]], timers=())
    worker.step()
    (letter,) = ports.stream.read(DEAD_LETTER.name, 0, -1, 9)
    assert b"of version 2" in letter.value
    assert [row.key.sort for row in ports.tables.query(ALERTS.name, alert.tenant)] == ["ep-1"]


def test_a_row_of_a_later_version_stops_the_partition_and_nothing_is_lost():
    alert = records()["alert"]
    ports = memory_ports(1)
    ports.tables.put(ALERTS.name, Key(alert.tenant, alert.id), msgspec.json.encode(msgspec.structs.replace(alert, v=2)))
    ports.stream.append(DASHBOARD_ALERTS.name, [Message(0, msgspec.json.encode(alert))])
    published = Published(ports, Bundle.from_files({}))
    worker = Worker(ports, published, shards=1, clock=lambda: 0, lanes=[STAGES["notify"]], timers=())
    worker.step()
    assert "alerts acme/ep-1: a Alert of version 2" in worker.blocked["notify dashboard-alerts/0"]
    assert ports.stream.read(DEAD_LETTER.name, 0, -1, 9) == []
