"""What is published reaches every worker in time; what cannot be understood never stops one, nor kills a message."""

import dataclasses

import msgspec
import pytest

from tests.unit.shadow.support import put_in_force
from watchkeeper.bundles import CURRENT_BUNDLE, bundle_key, publish_bundle
from watchkeeper.errors import Conflict, ModelError, Unavailable
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.memory import MemoryBlobs, memory_ports
from watchkeeper.model_in_force import CURRENT_MODEL, Pin, model_key
from watchkeeper.published import CURRENT_CUTOFF, REFRESH_MS, Published
from watchkeeper.records import Cutoff, Importance, Switches
from watchkeeper.topology import CUTOFFS

OLD, NEW = (
    Bundle.from_files({}),
    Bundle.from_files({"devices/generic.yaml": 'class: generic\nmatch: ["*"]\ninterval: 2m\nimportance: normal\n'}),
)


@dataclasses.dataclass
class FakeModel:
    """Stands for a model: publishing looks only at its version and its bytes."""

    version: str

    def encode(self):
        return self.version.encode()


@pytest.fixture
def ports():
    return memory_ports(1)


@pytest.fixture
def published(ports):
    return Published(ports, OLD)


@pytest.fixture(autouse=True)
def _models_by_their_names(monkeypatch):
    class Decoding:
        @staticmethod
        def decode(data):
            if data.startswith(b"bad"):
                raise ModelError("damaged")
            return FakeModel(data.decode())

    monkeypatch.setattr("watchkeeper.published.Model", Decoding)


def test_a_new_bundle_is_picked_up_when_it_is_time_to_look(ports, published):
    published.refresh(0)
    publish_bundle(ports.blobs, NEW)
    published.refresh(REFRESH_MS - 1)
    assert published.bundle.version == OLD.version
    published.refresh(REFRESH_MS)
    assert published.bundle.version == NEW.version


def test_a_clock_that_jumps_back_does_not_keep_a_worker_from_looking(ports, published):
    published.refresh(10**12)
    publish_bundle(ports.blobs, NEW)
    published.refresh(10**12 - 86_400_000)
    assert published.bundle.version == NEW.version


def test_publishing_the_same_bundle_again_changes_nothing(ports):
    publish_bundle(ports.blobs, NEW)
    before = ports.blobs.versions([CURRENT_BUNDLE, bundle_key(NEW.version)])
    publish_bundle(ports.blobs, NEW)
    assert ports.blobs.versions([CURRENT_BUNDLE, bundle_key(NEW.version)]) == before


def test_two_who_publish_at_the_same_moment_are_told(monkeypatch):
    blobs = MemoryBlobs()
    publish_bundle(blobs, OLD)
    put = blobs.put

    def somebody_else_first(key, data, *expect):
        if key == CURRENT_BUNDLE:
            put(CURRENT_BUNDLE, b"b-other")
        return put(key, data, *expect)

    monkeypatch.setattr(blobs, "put", somebody_else_first)
    with pytest.raises(Conflict):
        publish_bundle(blobs, NEW)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda blobs: blobs.put(CURRENT_BUNDLE, b"b-nothing-there"),
        lambda blobs: blobs.put(CURRENT_BUNDLE, b"\xff\xfe"),
        lambda blobs: [
            blobs.put(bundle_key("b-1"), b'{"rules/x.yaml": "nonsense: ["}'),
            blobs.put(CURRENT_BUNDLE, b"b-1"),
        ],
        lambda blobs: blobs.put(CURRENT_MODEL, b"rubbish"),
        lambda blobs: blobs.put(CURRENT_MODEL, msgspec.json.encode(Pin("m-gone"))),
        lambda blobs: [blobs.put(model_key("m-2"), b"bad"), blobs.put(CURRENT_MODEL, msgspec.json.encode(Pin("m-2")))],
    ],
    ids=["no such bundle", "no text", "a bundle with mistakes", "no pin", "no such model", "a damaged model"],
)
def test_what_cannot_be_put_in_force_leaves_in_force_what_was(ports, published, break_it):
    put_in_force(ports.blobs, FakeModel("m-1"))
    publish_bundle(ports.blobs, NEW)
    published.refresh(0)
    break_it(ports.blobs)
    published.refresh(REFRESH_MS)
    assert (published.bundle.version, published.model) == (NEW.version, FakeModel("m-1"))


def test_a_bad_bundle_keeps_no_good_model_away(ports, published):
    ports.blobs.put(CURRENT_BUNDLE, b"b-nothing-there")
    put_in_force(ports.blobs, FakeModel("m-1"))
    published.refresh(0)
    assert published.model == FakeModel("m-1")


def test_switches_that_cannot_be_read_stay_as_they_were(ports, published):
    off = Switches(model_calls=False, refuse=(Importance.LOW,))
    ports.tables.put(CUTOFFS.name, CURRENT_CUTOFF, msgspec.json.encode(Cutoff(now=off)))
    published.refresh(0)
    ports.tables.put(CUTOFFS.name, CURRENT_CUTOFF, b"{")
    published.refresh(REFRESH_MS)
    assert published.switches == off


def test_after_an_outage_it_looks_again_at_once(ports, published, monkeypatch):
    publish_bundle(ports.blobs, NEW)

    def away(keys):
        raise Unavailable("away")

    with monkeypatch.context() as outage:
        outage.setattr(ports.blobs, "get_many", away)
        with pytest.raises(Unavailable):
            published.refresh(0)
    published.refresh(1)
    assert published.bundle.version == NEW.version
