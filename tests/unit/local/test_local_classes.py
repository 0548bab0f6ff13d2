"""What is learnt of classes on one machine: published, read by scoring, told by `models`; reviews keep their bounds."""

import msgspec
import pytest

from tests.unit.local.conftest import NOW, node, send
from tests.unit.local.test_local_drift import review
from watchkeeper.class_knowledge import latest_classes, learn_classes
from watchkeeper.detection.classes import CLASSES, HIGHEST, LOWEST, ClassBook
from watchkeeper.packs import Pack
from watchkeeper.ports import Key
from watchkeeper.published import REFRESH_MS
from watchkeeper.records import Review
from watchkeeper.states import state_key
from watchkeeper.topology import FINAL_DATA_STORAGE, REVIEWS, RULE_CHECK_OUTPUT
from watchkeeper_local.knowledge import read_bundle
from watchkeeper_local.models import manage_models
from watchkeeper_local.node import open_node
from watchkeeper_local.training import DRIFT_MS, Plan, retrain_if_due, shadow_of

DAY = 86_400_000


def said(ports, number, verdict, by="ada", days=1, detector="model"):
    """So many reviewed episodes of the generic class."""
    for each in range(number):
        name = f"{by}-{verdict}-{days}-{each}"
        review(ports, name, NOW - days * DAY, verdict, detector)
        row = ports.tables.get_many(REVIEWS.name, [Key("default", name)])[Key("default", name)]
        held = msgspec.structs.replace(msgspec.json.decode(row.value, type=Review), by=by)
        ports.tables.put(REVIEWS.name, Key("default", name), msgspec.json.encode(held))


def generic(ports, settings):
    return learn_classes(ports, settings.shards, NOW).of("default", "generic")


def test_a_look_finds_the_priors_of_the_settled_devices_and_publishes_them(filled, settings):
    book = learn_classes(filled, settings.shards, NOW)
    prior = book.of("default", "generic").metrics["a"]
    assert prior.devices == 3
    assert (prior.low, prior.high) == pytest.approx((7.0, 13.0), abs=1.5)
    assert latest_classes(filled.blobs) == book
    assert book.of("default", "watchkeeper") is None
    assert book.of("acme", "generic") is None


@pytest.mark.parametrize(("level", "low", "high"), [(10.0, 0.0, 0.4), (5000.0, 0.5, 1.0)])
def test_the_first_reading_of_a_new_device_is_scored_by_its_class(filled, settings, level, low, high):
    learn_classes(filled, settings.shards, NOW)
    with node(settings) as (ports, published):
        send(ports, published, settings, NOW + DAY, (10.0, 10.0, 10.0, level))
    assert low <= first_score(filled, "d3") <= high


def first_score(ports, device):
    topic = FINAL_DATA_STORAGE.name
    logs = [ports.stream.read(topic, part, -1, 100_000) for part in range(ports.stream.partitions(topic))]
    packs = [Pack.decode(stored.value) for log in logs for stored in log]
    found = [
        (int(ts), float(score))
        for pack in packs
        for table in pack.tables
        for who, ts, score in zip(table.device, table.ts, table.score, strict=True)
        if pack.devices[who].device == device
    ]
    return min(found)[1]


def test_a_worker_takes_up_what_is_published_and_keeps_it_when_the_next_is_damaged(filled, settings, caplog):
    ports, published = open_node(settings, durable=False)
    published.refresh(NOW)
    assert published.classes is None
    book = learn_classes(filled, settings.shards, NOW)
    published.refresh(NOW + REFRESH_MS)
    assert published.classes == book
    held = published.classes
    published.refresh(NOW + 2 * REFRESH_MS)
    assert published.classes is held
    ports.blobs.put(CLASSES, b"\xc1")
    published.refresh(NOW + 3 * REFRESH_MS)
    assert published.classes is held
    assert "models/classes cannot be put in force" in caplog.text
    assert latest_classes(ports.blobs) is None
    ports.close()


def test_a_shard_whose_state_is_damaged_is_left_out_and_said(filled, settings, caplog):
    book = learn_classes(filled, settings.shards, NOW)
    empty = next(
        key
        for shard in range(settings.shards)
        if not filled.blobs.versions([key := state_key("ml_score", RULE_CHECK_OUTPUT.name, shard)])
    )
    filled.blobs.put(empty, b"no state at all")
    assert learn_classes(filled, settings.shards, NOW) == book
    assert "are left out of what is known of classes" in caplog.text


def test_without_reviews_the_factor_is_exactly_one(filled, settings):
    known = generic(filled, settings)
    assert (known.factor, known.confirmed, known.rejected) == (1.0, 0, 0)
    said(filled, 20, "rejected", days=80)
    said(filled, 20, "rejected", by="eve", detector="rule:hot")
    assert generic(filled, settings) == known


def test_rejected_reviews_raise_the_bar_and_confirmed_ones_lower_it(filled, settings):
    said(filled, 5, "rejected")
    raised = generic(filled, settings)
    assert 1.0 < raised.factor < 1.25
    assert raised.rejected == 5
    said(filled, 9, "confirmed", by="bob")
    said(filled, 9, "confirmed", by="cyd")
    lowered = generic(filled, settings)
    assert LOWEST < lowered.factor < 1.0
    assert (lowered.confirmed, lowered.rejected) == (18, 5)


def test_a_flood_of_one_person_moves_a_class_no_further_than_ten_reviews_and_of_many_to_its_bounds(filled, settings):
    said(filled, 10, "rejected")
    ten = generic(filled, settings).factor
    said(filled, 300, "rejected", days=2)
    flood = generic(filled, settings)
    assert flood.factor == pytest.approx(ten)
    assert flood.rejected == 310
    for number in range(30):
        said(filled, 10, "rejected", by=f"p{number}")
    assert 1.4 < generic(filled, settings).factor <= HIGHEST


def test_classes_are_looked_at_every_hour_also_without_a_model_being_due(filled, settings):
    plan, bundle = Plan(), read_bundle()
    for later, looked in ((0, 0), (DRIFT_MS - 1, 0), (DRIFT_MS, DRIFT_MS)):
        retrain_if_due(shadow_of(filled, bundle, settings, NOW + later), settings, plan)
        assert latest_classes(filled.blobs).ts == NOW + looked


def test_models_tells_what_the_bars_of_classes_are_multiplied_by(filled, settings, capsys, monkeypatch):
    monkeypatch.setattr("watchkeeper_local.models.clock", lambda: NOW)
    said(filled, 10, "rejected")
    manage_models(settings, "list", "")
    assert "class generic" not in capsys.readouterr().out
    manage_models(settings, "drift", "")
    told = "class generic: bar x1.25 (0 reviews confirmed, 10 rejected), 1 metrics known to new devices"
    assert told in capsys.readouterr().out
    assert isinstance(latest_classes(filled.blobs), ClassBook)
