"""The stand-in of Cosmos DB refuses what the service refuses; asked by the SDK itself.

Where the npm server is right, both are asked the same. Where that one is wrong (it knows no time to live, no partition
in a query, no batch, no charges, no limit of a page, and answers 500 where no item is), the stand-in answers alone.
"""

import base64

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.cosmos import CosmosClient, PartitionKey
from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError

from tests.emulators.azure import new_container_of_items
from tests.emulators.cosmos.server import cosmos_stand_in

LATEST = {"match_condition": MatchConditions.IfNotModified}


def status_of(act):
    """Of what the service refuses; 0: it does not."""
    try:
        act()
    except HttpResponseError as error:
        return error.status_code
    return 0


@pytest.fixture
def stand_in():
    with cosmos_stand_in() as server:
        yield server


@pytest.fixture
def items(stand_in):
    with new_container_of_items(stand_in.url, stand_in.key) as container:
        yield container


@pytest.fixture(params=["stand-in", "npm"])
def either(request):
    """A container of the stand-in, or of the npm server."""
    if request.param == "npm":
        server = request.getfixturevalue("npm_cosmos_server")
        url, key = f"http://{server.address}", base64.b64encode(b"it looks at no key").decode()
    else:
        server = request.getfixturevalue("stand_in")
        url, key = server.url, server.key
    with new_container_of_items(url, key) as container:
        yield container


# --- both


def test_an_item_is_created_once(either):
    made = either.create_item({"id": "a", "pk": "p", "n": 1})
    assert either.read_item("a", "p")["_etag"] == made["_etag"]
    assert status_of(lambda: either.create_item({"id": "a", "pk": "p"})) == 409


def test_what_is_not_there_is_neither_replaced_nor_patched_nor_deleted(either):
    assert status_of(lambda: either.replace_item("a", {"id": "a", "pk": "p"})) == 404
    assert status_of(lambda: either.delete_item("a", "p")) == 404


def test_a_write_changes_the_etag_and_an_old_one_is_refused(either):
    old = either.create_item({"id": "a", "pk": "p"})["_etag"]
    new = either.replace_item("a", {"id": "a", "pk": "p", "n": 2}, etag=old, **LATEST)["_etag"]
    assert new != old
    assert status_of(lambda: either.replace_item("a", {"id": "a", "pk": "p"}, etag=old, **LATEST)) == 412
    assert status_of(lambda: either.delete_item("a", "p", etag=old, **LATEST)) == 412
    assert either.read_item("a", "p")["n"] == 2


def test_upsert_makes_and_replaces(either):
    either.upsert_item({"id": "a", "pk": "p", "n": 1})
    either.upsert_item({"id": "a", "pk": "p", "n": 2})
    assert either.read_item("a", "p")["n"] == 2


def test_a_patch_changes_what_it_names(either):
    either.create_item({"id": "a", "pk": "p", "n": 1, "kept": True})
    operations = [{"op": "incr", "path": "/n", "value": 2}, {"op": "set", "path": "/new", "value": "x"}]
    either.patch_item("a", "p", operations)
    found = either.read_item("a", "p")
    assert (found["n"], found["new"], found["kept"]) == (3, "x", True)


def test_a_range_is_found_in_order(either):
    for number in (3, 1, 4, 0, 2):
        either.create_item({"id": f"i{number}", "pk": "p", "sk": f"{number}"})
    bounds = [{"name": "@low", "value": "1"}, {"name": "@high", "value": "4"}]
    query = "SELECT * FROM c WHERE c.sk >= @low AND c.sk < @high ORDER BY c.sk"
    for way, expected in (("ASC", ["1", "2", "3"]), ("DESC", ["3", "2", "1"])):
        found = either.query_items(f"{query} {way}", parameters=bounds, partition_key="p")
        assert [item["sk"] for item in found] == expected


# --- the stand-in alone


def test_a_wrong_key_opens_nothing(stand_in):
    wrong = "A" + stand_in.key[1:] if stand_in.key[0] != "A" else "B" + stand_in.key[1:]
    assert status_of(lambda: CosmosClient(stand_in.url, wrong, retry_total=0)) == 401


def test_an_item_lies_in_its_partition_only(items):
    items.create_item({"id": "a", "pk": "p", "sk": "1"})
    items.create_item({"id": "a", "pk": "q", "sk": "2"})
    assert [item["sk"] for item in items.query_items("SELECT * FROM c", partition_key="q")] == ["2"]
    assert status_of(lambda: items.read_item("a", "r")) == 404
    assert status_of(lambda: list(items.query_items("SELECT * FROM c"))) == 400
    assert status_of(lambda: items.create_item({"id": "b"})) == 400


@pytest.mark.parametrize("name", ["", "a/b", "a\\b", "a?b", "a#b", "a ", "x" * 1024, 7])
def test_an_id_that_the_service_does_not_take_is_refused(items, name):
    upsert = [("upsert", ({"id": name, "pk": "p"},))]
    with pytest.raises(CosmosBatchOperationError) as refused:
        items.execute_item_batch(upsert, "p")
    assert refused.value.status_code == 400


def test_an_item_of_more_than_2_mb_is_refused(items):
    items.create_item({"id": "a", "pk": "p", "text": "x" * (2 * 1024 * 1024 - 1000)})
    assert status_of(lambda: items.create_item({"id": "b", "pk": "p", "text": "x" * 2 * 1024 * 1024})) == 413


def test_an_item_ends_when_it_says_so(stand_in, items):
    items.create_item({"id": "ends", "pk": "p", "sk": "1", "ttl": 60})
    items.create_item({"id": "stays", "pk": "p", "sk": "2"})
    stand_in.ahead_s = 59
    assert items.read_item("ends", "p")
    stand_in.ahead_s = 61
    assert status_of(lambda: items.read_item("ends", "p")) == 404
    assert [item["id"] for item in items.query_items("SELECT * FROM c", partition_key="p")] == ["stays"]
    assert items.create_item({"id": "ends", "pk": "p"})
    assert status_of(lambda: items.create_item({"id": "never", "pk": "p", "ttl": 0})) == 400


def test_an_end_counts_only_where_ends_are_switched_on(stand_in):
    with CosmosClient(stand_in.url, stand_in.key) as client:
        database = client.create_database("other")
        items = database.create_container("plain", PartitionKey("/pk"))
        items.create_item({"id": "a", "pk": "p", "ttl": 1})
        stand_in.ahead_s = 10
        assert items.read_item("a", "p")


def test_a_batch_is_done_as_a_whole_or_not_at_all(items):
    items.create_item({"id": "there", "pk": "p", "n": 1})
    wrong = [
        ("upsert", ({"id": "new", "pk": "p"},)),
        ("patch", ("there", [{"op": "incr", "path": "/n", "value": 1}])),
        ("create", ({"id": "there", "pk": "p"},)),
        ("upsert", ({"id": "late", "pk": "p"},)),
    ]
    with pytest.raises(CosmosBatchOperationError) as refused:
        items.execute_item_batch(wrong, "p")
    assert (refused.value.status_code, refused.value.error_index) == (409, 2)
    assert [each["statusCode"] for each in refused.value.operation_responses] == [424, 424, 409, 424]
    assert [(item["id"], item["n"]) for item in items.query_items("SELECT * FROM c", partition_key="p")] == [
        ("there", 1)
    ]
    items.execute_item_batch(wrong[:2], "p")
    assert items.read_item("there", "p")["n"] == 2
    assert items.read_item("new", "p")


def test_a_batch_is_of_one_partition_and_of_100_operations(items):
    assert status_of(lambda: items.execute_item_batch([("upsert", ({"id": "a", "pk": "q"},))] * 2, "p")) == 400
    many = [("upsert", ({"id": f"i{number}", "pk": "p"},)) for number in range(101)]
    assert status_of(lambda: items.execute_item_batch(many, "p")) == 400
    items.execute_item_batch(many[:100], "p")


def test_a_patch_has_a_condition_ten_operations_and_a_path_that_leads_somewhere(items):
    items.create_item({"id": "a", "pk": "p", "n": 1, "s": "x"})
    add = {"op": "incr", "path": "/n", "value": 1}
    assert status_of(lambda: items.patch_item("a", "p", [add], filter_predicate="FROM c WHERE c.s = 'y'")) == 412
    items.patch_item("a", "p", [add], filter_predicate="FROM c WHERE c.s = 'x' AND c.n = 1")
    assert items.read_item("a", "p")["n"] == 2
    for wrong in (
        [add] * 11,
        [{"op": "incr", "path": "/s", "value": 1}],
        [{"op": "set", "path": "/none/n", "value": 1}],
        [{"op": "replace", "path": "/none", "value": 1}],
        [{"op": "set", "path": "/pk", "value": "q"}],
        [{"op": "set", "path": "/id", "value": "b"}],
    ):
        assert status_of(lambda wrong=wrong: items.patch_item("a", "p", wrong)) == 400
    assert items.read_item("a", "p")["n"] == 2


def test_a_long_answer_comes_in_pages_by_continuation_tokens(stand_in, items):
    for number in range(25):
        items.create_item({"id": f"i{number:02d}", "pk": "p", "sk": f"{number:02d}"})
    pages = items.query_items("SELECT * FROM c ORDER BY c.sk", partition_key="p", max_item_count=10).by_page()
    assert [len(list(page)) for page in pages] == [10, 10, 5]
    stand_in.page = 4  # the service may answer less than it is asked for
    found = items.query_items("SELECT * FROM c ORDER BY c.sk", partition_key="p", max_item_count=10)
    assert [item["sk"] for item in found] == [f"{number:02d}" for number in range(25)]


def test_a_token_of_another_query_is_refused(items):
    for number in range(3):
        items.create_item({"id": f"i{number}", "pk": "p", "sk": f"{number}"})
    pages = items.query_items("SELECT * FROM c ORDER BY c.sk", partition_key="p", max_item_count=1).by_page()
    list(next(pages))
    other = items.query_items("SELECT * FROM c ORDER BY c.sk DESC", partition_key="p", max_item_count=1)
    assert status_of(lambda: next(other.by_page(pages.continuation_token))) == 400


@pytest.mark.parametrize(
    "query",
    [
        "SELECT c.sk FROM c",
        "SELECT * FROM c WHERE c.sk = '1'",  # a value in the text
        "SELECT * FROM c WHERE c.sk = @none",
        "SELECT * FROM c WHERE c.sk = @low OR c.sk = @low",
        "SELECT * FROM c ORDER BY c.other",  # not indexed
        "SELECT TOP 1 * FROM c",
    ],
)
def test_a_query_that_no_adapter_asks_is_refused(items, query):
    items.create_item({"id": "a", "pk": "p", "sk": "1"})
    parameters = [{"name": "@low", "value": "1"}]
    assert status_of(lambda: list(items.query_items(query, parameters=parameters, partition_key="p"))) == 400


def test_too_many_requests_are_told_when_to_come_back(stand_in, items):
    items.create_item({"id": "a", "pk": "p"})
    stand_in.throttle(1, 5)
    assert items.read_item("a", "p")  # the SDK waits and tries again
    stand_in.throttle(10**9, 5)
    with pytest.raises(CosmosHttpResponseError) as refused:
        items.read_item("a", "p")
    assert (refused.value.status_code, refused.value.headers["x-ms-retry-after-ms"]) == (429, "5")


def test_requests_are_charged_by_the_published_table(items):
    charged = []

    def hook(headers, _body):
        charged.append(float(headers["x-ms-request-charge"]))

    items.create_item({"id": "a", "pk": "p", "text": "x" * 700}, response_hook=hook)
    items.read_item("a", "p", response_hook=hook)
    items.upsert_item({"id": "b", "pk": "p", "text": "x" * 102_100}, response_hook=hook)
    items.read_item("b", "p", response_hook=hook)
    assert charged == pytest.approx([5, 1, 50, 10], rel=0.02)
    list(items.query_items("SELECT * FROM c", partition_key="none", response_hook=hook))
    assert charged[-1] == 2.3
