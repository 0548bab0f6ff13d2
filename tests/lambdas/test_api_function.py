"""The function `api` and its authorizer in the real runtime: HTTP and WebSocket events of API Gateway."""

import base64
import gzip
import hashlib
import json
import time

import pytest

from tests.emulators.aws import emulated
from tests.emulators.interference import THROTTLED, Refuse, first
from tests.lambdas.events import event
from watchkeeper.packs import Pack
from watchkeeper.topology import BATCH_DATA_INGESTION, IOT_DATA_INGESTION
from watchkeeper_aws.provision import table_names

NOW = int(time.time() * 1000)
MACHINE = {"lambda": {"name": "line-3", "tenant": "acme"}}
PERSON = {"jwt": {"claims": {"sub": "1234", "email": "eva@example.com", "custom:tenant": "acme"}, "scopes": None}}
READINGS = [{"device": "pump-07", "ts": NOW, "values": {"flow": 101.5}}]


def request(method, path, body=b"", authorizer=None, query="", **headers):
    asked = event("http_api")
    asked |= {"rawPath": path, "rawQueryString": query, "routeKey": f"ANY {path}"}
    asked["headers"] |= {name.replace("_", "-"): value for name, value in headers.items()}
    asked["requestContext"]["http"] |= {"method": method, "path": path}
    if authorizer:
        asked["requestContext"]["authorizer"] = authorizer
    if isinstance(body, bytes) and body:
        asked |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    elif body:
        asked["body"] = json.dumps(body)
    return asked


def answered(answer):
    told = answer.value()
    body = base64.b64decode(told["body"]) if told["isBase64Encoded"] else told["body"]
    return told["statusCode"], json.loads(body) if "json" in told["headers"]["content-type"] else body


def readings(stack, topic):
    return [
        (device.tenant, device.device)
        for messages in stack.messages(topic.name).values()
        for message in messages
        for device in Pack.decode(message.value).devices
    ]


def test_health_asks_for_no_key_and_everything_else_does(stack):
    assert answered(stack.invoke("api", request("GET", "/health")))[0] == 200
    for sent in ({}, {"x_api_key": "guess"}, {"authorization": "Bearer guess"}):
        assert answered(stack.invoke("api", request("GET", "/api/status", **sent)))[0] == 401


@pytest.mark.parametrize("who", [MACHINE, PERSON], ids=["machine", "person"])
def test_who_the_gateway_has_let_in_is_served_as_who_it_said(stack, who):
    status, told = answered(stack.invoke("api", request("GET", "/api/status", authorizer=who)))
    assert (status, bool(told["bundle"])) == (200, True)
    asked = request("POST", "/ingest/realtime", READINGS, who, content_type="application/json")
    status, told = answered(stack.invoke("api", asked))
    assert (status, told["accepted"]) == (202, 1)
    assert ("acme", "pump-07") in readings(stack, IOT_DATA_INGESTION)


def test_bodies_may_be_text_binary_or_compressed(stack):
    csv = b"device,ts,temperature\noven-3,2026-11-01T12:00:00Z,180.5\n"
    for body, more in (
        (csv, {}),
        (gzip.compress(csv), {"content_encoding": "gzip"}),
    ):
        asked = request("POST", "/ingest/csv", body, MACHINE, content_type="text/csv", **more)
        assert answered(stack.invoke("api", asked))[0] == 202
    assert readings(stack, BATCH_DATA_INGESTION).count(("acme", "oven-3")) == 2


def test_wrong_bodies_and_paths_get_their_answers(stack):
    status, told = answered(
        stack.invoke("api", request("POST", "/ingest/realtime", b"{", MACHINE, content_type="application/json"))
    )
    assert status == 400
    assert told
    assert answered(stack.invoke("api", request("GET", "/nowhere", authorizer=MACHINE)))[0] == 404
    assert (
        stack.invoke("api", request("GET", "/metrics", authorizer=MACHINE))
        .value()["headers"]["content-type"]
        .startswith("text/plain")
    )


def test_while_storage_is_throttled_the_answer_says_so_and_nothing_is_accepted(stack):
    stack.invoke("api", request("GET", "/health"))
    stack.between.plan = first(10**9, THROTTLED, lambda asked: bool(asked.operation))
    assert answered(stack.invoke("api", request("GET", "/health")))[0] == 503
    asked = request("POST", "/ingest/realtime", READINGS, MACHINE, content_type="application/json")
    assert answered(stack.invoke("api", asked))[0] == 503


def test_an_event_of_no_known_trigger_is_refused(stack):
    answer = stack.invoke("api", {"something": "else"})
    assert (answer.kind, answer.body["errorType"]) == ("error", "Undeclared")
    assert answer.said("the invocation failed")


# --- sockets --------------------------------------------------------------------------------------------------------


def socket(route, connection="c-1", body="", authorizer=None):
    told = event("websocket")
    told["requestContext"] |= {"routeKey": route, "connectionId": connection}
    if authorizer:
        told["requestContext"]["authorizer"] = authorizer
    return told | {"body": body}


def to_listeners(asked):
    return Refuse(200, b"") if "@connections" in asked.path else None


def test_who_connects_may_ask_what_http_answers_until_it_disconnects(stack):
    stack.between.plan = to_listeners
    who = {"name": "eva", "tenant": "acme", "principalId": "eva"}
    assert stack.invoke("api", socket("$connect", authorizer=who)).value() == {"statusCode": 200}
    (row,) = stack.container.tables.query("connections", "listeners")
    assert row.key.sort == "c-1"
    wish = '{"action": "get", "path": "/api/alerts?status=firing", "id": 7}'
    assert stack.invoke("api", socket("$default", body=wish)).value() == {"statusCode": 200}
    sent = stack.between.asked[-1]
    frame = json.loads(sent.body)
    assert (sent.path, frame["id"], frame["status"]) == ("/@connections/c-1", 7, 200)
    assert isinstance(frame["body"], dict)
    assert stack.invoke("api", socket("$default", body="what?")).value() == {"statusCode": 200}
    assert json.loads(stack.between.asked[-1].body)["status"] == 400
    assert stack.invoke("api", socket("$disconnect")).value() == {"statusCode": 200}
    assert stack.container.tables.query("connections", "listeners") == []
    assert stack.invoke("api", socket("$default", body=wish)).value() == {"statusCode": 410}


def test_nobody_in_particular_may_not_connect(stack):
    assert stack.invoke("api", socket("$connect", "c-2")).value() == {"statusCode": 401}


def test_a_listener_who_has_gone_is_noticed(stack):
    stack.between.plan = lambda asked: (
        Refuse(410, b'{"message": "gone"}', "application/json") if "@connections" in asked.path else None
    )
    stack.invoke("api", socket("$connect", "c-3", authorizer={"name": "eva"}))
    wish = '{"action": "get", "path": "/api/status"}'
    assert stack.invoke("api", socket("$default", "c-3", wish)).value() == {"statusCode": 410}


# --- the authorizer -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def key(stack, aws_server):
    digest = hashlib.sha256(b"s3cret").hexdigest()
    item = {"pk": {"S": digest}, "sk": {"S": "-"}, "name": {"S": "line-3"}, "tenant": {"S": "acme"}}
    table = stack.environment["WATCHKEEPER_TABLE_PREFIX"] + "api-keys"
    emulated(aws_server, "dynamodb").put_item(TableName=table, Item=item)
    return "s3cret"


def test_the_authorizer_knows_keys_by_their_digest(stack, key):
    asked = request("GET", "/metrics", x_api_key=key) | {"type": "REQUEST", "routeArn": "arn:aws:x"}
    allowed = {"isAuthorized": True, "context": {"name": "line-3", "tenant": "acme"}}
    assert stack.invoke("authorizer", asked).value() == allowed
    asked["headers"] = {"X-API-Key": key.upper()}
    assert stack.invoke("authorizer", asked).value() == {"isAuthorized": False, "context": {}}
    asked["headers"] = None
    assert stack.invoke("authorizer", asked).value()["isAuthorized"] is False


def test_the_authorizer_of_sockets_answers_a_policy(stack, key):
    asked = socket("$connect") | {
        "type": "REQUEST",
        "methodArn": "arn:aws:execute-api:x",
        "queryStringParameters": {"token": key},
    }
    told = stack.invoke("authorizer", asked).value()
    assert (told["principalId"], told["context"]) == ("line-3", {"name": "line-3", "tenant": "acme"})
    assert told["policyDocument"]["Statement"][0]["Effect"] == "Allow"
    asked["queryStringParameters"] = None
    assert stack.invoke("authorizer", asked).value()["policyDocument"]["Statement"][0]["Effect"] == "Deny"


def test_while_keys_cannot_be_looked_up_nobody_is_let_in(stack, key):
    stack.between.plan = first(10**9, THROTTLED)
    asked = request("GET", "/metrics", x_api_key=key)
    answer = stack.invoke("authorizer", asked)
    assert (answer.kind, answer.body["errorType"]) == ("error", "Unavailable")
    assert key not in str(answer)


def test_tables_of_the_runtime_are_among_those_that_are_made():
    assert {"meter", "connections", "api-keys"} < set(table_names())
