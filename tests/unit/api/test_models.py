"""What the API tells of detection models: in force, in shadow, and every change of that."""

import msgspec

from tests.unit.shadow.support import AFTER, MINUTE, Fleet, garbage, put_in_force, sound
from tests.unit.shadow.support import NOW as LEARNT
from watchkeeper.model_in_force import Who, pin_model, put_in_shadow, unpin_model
from watchkeeper_api.schemas import ModelChange, ModelList, ModelShadow

ADA = Who("ada", LEARNT, "because")


def told(api, query=""):
    answer = api.get(f"/api/models{query}")
    assert answer.status_code == 200
    return msgspec.json.decode(answer.content, type=ModelList)


def test_where_there_is_no_model_yet_nothing_is_told(api):
    assert told(api) == ModelList("", "", pinned=False, shadow=None, stored=[], changes=[], next=0)


def test_what_is_in_force_pinned_and_in_shadow_is_told_with_its_changes(api, ports):
    put_in_force(ports.blobs, sound("m-1"))
    pin_model(ports.blobs, "m-1", ADA)
    put_in_shadow(ports.blobs, garbage("m-2"), Who("retrain", LEARNT + 1, "learnt from 5 readings"))
    found = told(api)
    assert (found.version, found.previous, found.pinned, found.stored) == ("m-1", "", True, ["m-1", "m-2"])
    assert found.shadow == ModelShadow("m-2", LEARNT + 1, "waiting")
    assert found.changes[:2] == [
        ModelChange(4, LEARNT + 1, "trained", "retrain", "m-2", "m-1", "m-1", "learnt from 5 readings"),
        ModelChange(3, LEARNT, "pinned", "ada", "m-1", "m-1", "m-1", "because"),
    ]
    assert [change.what for change in found.changes[2:]] == ["promoted", "trained"]


def test_a_comparison_is_told_in_numbers_and_names_no_device(api, ports):
    fleet = Fleet(ports=ports)
    put_in_force(ports.blobs, sound("m-1"))
    pin_model(ports.blobs, "m-1", ADA)
    put_in_shadow(ports.blobs, sound("m-2"), ADA)
    assert fleet.judge(LEARNT + AFTER * MINUTE).state == "waiting"
    shadow = told(api).shadow
    assert (shadow.state, shadow.against, shadow.done, shadow.whole, shadow.why) == ("not worse", "m-1", 3, 3, [])
    assert shadow.counts.devices == 3
    assert shadow.counts.candidate == shadow.counts.in_force
    text = api.get("/api/models").text
    assert not any(f'"d{number}"' in text for number in range(3))


def test_changes_come_page_by_page(api, ports):
    put_in_force(ports.blobs, sound("m-1"))
    for _ in range(3):
        pin_model(ports.blobs, "m-1", ADA)
        unpin_model(ports.blobs, ADA)
    numbers, following = [], 0
    for _ in range(3):
        page = told(api, f"?limit=3&before={following}")
        numbers.append([change.number for change in page.changes])
        following = page.next
    assert numbers == [[8, 7, 6], [5, 4, 3], [2, 1]]
    assert following == 0


def test_what_is_no_page_is_refused(api):
    for query in ("before=-1", "before=x", "limit=0"):
        assert api.get(f"/api/models?{query}").status_code == 400
