"""Dead letters: which are open, up to where they are taken, and where each goes back to."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.golden_samples import pack, records
from watchkeeper.dead_letters import Back, Found, open_letters, read_letter, taken_up_to, way_back
from watchkeeper.errors import DecodeError
from watchkeeper.ids import shard_of
from watchkeeper.outcome import RawMessage
from watchkeeper.packs import Pack
from watchkeeper.ports import Stored
from watchkeeper.records import Anomaly, DeadLetter, Reading

NOW = 1_790_000_000_000
IDS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abcdef")), max_size=20)


def letter(name="d", stage="ingest", topic="", body=b"{", **more):
    return DeadLetter(name, stage, "bad", body, NOW - 9, topic, **more)


def as_found(places):
    """Letters by partition and id, at the next offset of their partition."""
    found = []
    for partition, name in places:
        found.append(Found(partition, sum(item.partition == partition for item in found), letter(name)))
    return sorted(found, key=lambda item: (item.partition, item.offset))


@given(IDS, st.sets(st.sampled_from("abcdef")))
def test_open_is_what_is_there_and_not_taken_and_each_id_once(places, taken):
    names = [item.letter.id for item in open_letters(as_found(places), taken)]
    assert len(names) == len(set(names))
    assert set(names) == {name for _, name in places} - taken


@given(IDS, st.sets(st.sampled_from("abcdef")))
def test_what_is_committed_holds_no_open_letter_and_ends_before_one(places, taken):
    found = as_found(places)
    upto = taken_up_to(found, taken)
    for partition, offset, item in found:
        if offset <= upto.get(partition, -1):
            assert item.id in taken
        elif offset == upto.get(partition, -1) + 1:
            assert item.id not in taken


def test_a_message_of_the_hub_goes_back_with_all_that_the_hub_has_said_of_it():
    sent = letter(topic="device-telemetry", body=b"\xff{", tenant="acme", device="pump-1", received=NOW - 99)
    message = way_back(sent, 16, NOW).message
    assert (message.shard, message.value) == (shard_of("acme", "pump-1", 16), b"\xff{")
    assert message.headers == {"tenant": "acme", "device": "pump-1", "received": str(NOW - 99)}


def test_a_letter_of_an_earlier_release_does_not_know_when_it_was_received_and_takes_its_own_time():
    old = msgspec.json.encode(letter(topic="device-telemetry"))
    assert b"received" not in old
    assert way_back(read_letter(0, Stored(3, 0, old, {})).letter, 16, NOW).message.headers["received"] == str(NOW - 9)


def test_a_reading_of_a_request_goes_back_as_a_request_with_the_same_name_each_time():
    sent = letter("d-7", topic="http", body=b'{"values":{}}', tenant="acme", received=NOW - 99)
    assert way_back(sent, 16, NOW) == RawMessage(b'{"values":{}}', NOW - 99, "acme", request="d-7")


def test_a_quarantined_reading_goes_back_as_its_device_would_send_it_now():
    reading = Reading("pump-1", NOW + 60_000, {"flow": 1.5}, "acme", "north", {"line": "a"}, NOW - 600_000, 4)
    back = way_back(letter("d-7", "clean", body=msgspec.json.encode(reading), tenant="acme", device="pump-1"), 16, NOW)
    sent = {"device": "pump-1", "ts": NOW + 60_000, "values": {"flow": 1.5}, "tags": {"line": "a"}, "site": "north"}
    assert msgspec.json.decode(back.body) == sent
    assert (back.received, back.tenant, back.device, back.request) == (NOW, "acme", "pump-1", "d-7")


def test_a_pack_goes_back_with_an_origin_of_its_own_so_that_it_is_not_skipped_as_taken():
    back = way_back(letter("d-7", "store", "final-data-storage", pack().encode()), 16, NOW)
    again = Pack.decode(back.message.value)
    assert (back.readings, back.message.shard) == (len(pack()), pack().shard)
    assert list(again.readings()) == list(pack().readings())
    assert [origin.source for origin in again.origins] == ["redrive:d-7/0"]
    assert len(again.without({"redrive:d-7/0": (0, 0)})) == 0


def test_an_anomaly_and_an_alert_go_back_to_their_shards():
    anomaly = records()["anomaly"]
    back = way_back(letter(topic="rag-error-reporting", body=msgspec.json.encode(anomaly)), 16, NOW)
    again = msgspec.json.decode(back.message.value, type=Anomaly)
    assert back.message.shard == shard_of(anomaly.tenant, anomaly.device, 16)
    assert msgspec.structs.replace(again, origin=None) == msgspec.structs.replace(anomaly, origin=None)
    assert (
        way_back(letter(topic="dashboard-alerts", body=msgspec.json.encode(records()["alert"])), 16, 1).message[0] == 0
    )


def test_what_cannot_be_read_goes_back_as_it_is_to_its_partition():
    back = way_back(letter(topic="data-processing-output", body=b"{", partition=3), 16, NOW)
    assert back == Back("data-processing-output", back.message)
    assert (back.message.shard, back.message.value) == (3, b"{")


@pytest.mark.parametrize(("stage", "topic"), [("clean", ""), ("store", ""), ("ingest", "no-such-topic")])
def test_what_has_no_way_back_says_so(stage, topic):
    with pytest.raises(DecodeError, match="it can be discarded"):
        way_back(letter("d-7", stage, topic), 16, NOW)


def test_a_message_that_is_no_letter_is_named_with_its_place():
    with pytest.raises(DecodeError, match="dead-letter/2, offset 7: not a dead letter"):
        read_letter(2, Stored(7, 0, b"{}", {}))
