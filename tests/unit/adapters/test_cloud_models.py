"""The timer of models in a cloud: every hour it goes on with the one in shadow, or learns the next after a day."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.unit.shadow.support import AFTER, ENDLESS, HOUR, ME, MINUTE, NOW, SHARDS, Fleet, put_in_force, sound
from watchkeeper.cost.prices import LOCAL
from watchkeeper.errors import ConfigError
from watchkeeper.memory import memory_ports
from watchkeeper.model_in_force import current_pin, model_history, pin_model, put_in_shadow
from watchkeeper.shadow import trial
from watchkeeper.shadow.judging import PART_MS
from watchkeeper_adapters.cloud.container import CloudContainer
from watchkeeper_adapters.cloud.model_command import change_models
from watchkeeper_adapters.cloud.timer_trigger import LEARN_MS, tick

KNOWLEDGE = Path(__file__).parents[3] / "knowledge_base"


class Container(CloudContainer):
    def open_ports(self):
        raise AssertionError("ports are given")

    def open_pushes(self):
        return None


class Cloud:
    def __init__(self, ports, shadow_ms):
        self.now, self.ports = NOW, ports
        self.container = Container(
            ports, lambda: self.now, shards=SHARDS, reserve_ms=8000, budget=0.0, metered=LOCAL, knowledge=KNOWLEDGE
        )
        self.container.shadow_ms = shadow_ms

    def tick(self, now, *left_ms):
        self.now = now
        left = iter(left_ms or (ENDLESS,) * 1000)
        return tick("retrain", left.__next__, self.container, SimpleNamespace(counts=Counter()))


@pytest.fixture
def cloud():
    return Cloud(Fleet().ports, AFTER * MINUTE)


def test_a_model_is_learnt_in_one_hour_and_promoted_in_a_later_one(cloud):
    told = cloud.tick(NOW)
    version = told["candidate"]
    assert (told["shadow"], told["drifted"]) == ("waiting", 0)
    assert told["rows"] > 300
    assert cloud.tick(NOW + AFTER * MINUTE // 2)["shadow"] == "waiting"
    assert current_pin(cloud.ports.blobs).version == ""
    told = cloud.tick(NOW + HOUR)
    assert (told["candidate"], told["shadow"]) == (version, "promoted")
    assert current_pin(cloud.ports.blobs).version == version
    assert cloud.tick(NOW + 2 * HOUR) == {"candidate": "", "shadow": "none", "why": ""}
    assert cloud.tick(NOW + LEARN_MS)["rows"] > 300
    assert current_pin(cloud.ports.blobs).candidate != version


def test_what_its_time_was_too_short_for_is_gone_on_with_in_the_next_hour(cloud, monkeypatch):
    monkeypatch.setattr(trial, "AT_ONCE", 2)
    put_in_shadow(cloud.ports.blobs, sound("m-2"), ME)
    told = cloud.tick(NOW + HOUR, PART_MS, PART_MS - 1)
    assert (told["shadow"], told["why"]) == ("comparing", "2 of 3 devices and reviewed episodes are compared")
    assert cloud.tick(NOW + 2 * HOUR, PART_MS)["shadow"] == "promoted"


def test_a_pinned_model_stays_and_no_other_is_learnt_while_one_is_awaited(cloud):
    put_in_force(cloud.ports.blobs, sound("m-1"))
    pin_model(cloud.ports.blobs, "m-1", ME)
    put_in_shadow(cloud.ports.blobs, sound("m-2"), ME)
    for hour in (1, 30):
        told = cloud.tick(NOW + hour * HOUR)
        assert (told["candidate"], told["shadow"]) == ("m-2", "waiting")
        assert told["why"].startswith("m-1 is pinned")
    assert current_pin(cloud.ports.blobs).version == "m-1"


def test_without_anything_to_learn_from_it_says_so():
    told = Cloud(memory_ports(1), HOUR).tick(NOW)
    assert told["shadow"] == "none"
    assert "readings of a metric" in told["why"]


def test_people_change_models_by_hand_and_are_named(cloud):
    blobs = cloud.ports.blobs
    for version in ("m-1", "m-2"):
        put_in_force(blobs, sound(version))

    def ask(**asked):
        return change_models({"command": "models", **asked}, blobs, NOW)

    assert ask() == {"version": "m-2", "previous": "m-1", "pinned": False, "candidate": ""}
    assert ask(action="rollback", by="ada", why="louder") == {
        "version": "m-1", "previous": "m-2", "pinned": True, "candidate": "",
    }  # fmt: skip
    assert ask(action="unpin", by="ada")["pinned"] is False
    assert ask(action="promote", version="m-2", by="bob")["version"] == "m-2"
    assert ask(action="pin", version="m-1", by="bob")["pinned"] is True
    told = [(change.what, change.by, change.why) for change in model_history(blobs, limit=4)]
    assert told == [
        ("pinned", "bob", ""), ("promoted", "bob", ""), ("unpinned", "ada", ""), ("rolled back", "ada", "louder"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"action": "dance"}, "models: Invalid enum value 'dance'"),
        ({"action": "pin", "by": "ada"}, 'promote and pin need a "version"'),
        ({"action": "unpin", "version": "m-1", "by": "ada"}, "other actions take none"),
        ({"action": "unpin"}, '"by" says who does it'),
        ({"reason": "x"}, "unknown field `reason`"),
    ],
)
def test_what_is_asked_wrongly_is_refused(asked, says):
    with pytest.raises(ConfigError, match=says):
        change_models({"command": "models", **asked}, memory_ports(1).blobs, NOW)
