"""A stand-in of Cosmos DB for NoSQL that is strict: the REST protocol that the SDK speaks, on loopback, in memory.

It refuses what the service refuses (see `store`), knows no query but those of `sql`, and charges by `charges`.
Source of the protocol: Microsoft Learn, "Azure Cosmos DB: REST API reference".
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import re
import secrets
import threading
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, unquote

from tests.emulators.cosmos import charges
from tests.emulators.cosmos.refusal import Refusal
from tests.emulators.cosmos.sql import parse_query
from tests.emulators.cosmos.store import Container, Done, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PAGE_BYTES = 4 * 1024 * 1024
PAGE = 100  # items, unless more are asked for
BATCH_BYTES = 2 * 1024 * 1024
PARTITION = "x-ms-documentdb-partitionkey"
ROUTE = re.compile(
    r"/(?:dbs(?:/(?P<database>[^/]+)(?:/colls(?:/(?P<container>[^/]+)"
    r"(?:/(?P<what>docs|pkranges)(?:/(?P<name>[^/]+))?)?)?)?)?)?/?"
)
Headers = dict[str, str]


class Answer(NamedTuple):
    """What is sent back."""

    status: int
    body: Any = None
    charge: float = 1.0
    headers: Mapping[str, str] = MappingProxyType({})


class CosmosStandIn:
    """`address` and `key` say how to reach it. `page`: at most so many items in an answer, whatever is asked for.

    `ahead_s`: how far its clock is ahead, so that rows end.
    """

    def __init__(self) -> None:
        self.key = base64.b64encode(secrets.token_bytes(64)).decode()
        self.ahead_s = 0.0
        self.page = 1000
        self.charged = 0.0
        self._databases: dict[str, dict[str, Container]] = {}
        self._lock = threading.RLock()
        self._throttled = (0, 0)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.address}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _now(self) -> float:
        return time.time() + self.ahead_s

    def throttle(self, requests: int, retry_after_ms: int = 10) -> None:
        """So many of the next requests for items are too many."""
        self._throttled = (requests, retry_after_ms)

    def answer(self, verb: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """What a request is answered. Refusal: an error."""
        route = ROUTE.fullmatch(path)
        if not route:
            raise Refusal(404, f"there is nothing at {path}")
        database, container, what, name = (unquote(part or "") for part in route.groups())
        self._authorize(verb, path, headers, _resource(database, container, what, name, path))
        with self._lock:
            if path == "/":
                return Answer(200, _account(headers["host"]), 0.0)
            given = json.loads(body) if body else {}
            if not database:
                return self._make_database(given)
            if not container:
                return self._container_of(verb, path, database, given)
            found = self._databases.get(database, {}).get(container)
            if found is None:
                raise Refusal(404, "Owner resource does not exist", 1003 if what else 0)
            if not what:
                return Answer(200, found.properties)
            if what == "pkranges":
                return _ranges(headers)
            return self._items(verb, found, name, headers, given)

    def _make_database(self, given: Mapping[str, Any]) -> Answer:
        if given["id"] in self._databases:
            raise Refusal(409, "there is a database of this name")
        self._databases[given["id"]] = {}
        return Answer(201, {"id": given["id"], "_rid": "db", "_self": "dbs/db/"})

    def _container_of(self, verb: str, path: str, database: str, given: Mapping[str, Any]) -> Answer:
        if database not in self._databases:
            raise Refusal(404, "there is no such database", 1003)
        if verb == "GET" and not path.rstrip("/").endswith("colls"):
            return Answer(200, {"id": database, "_rid": "db", "_self": "dbs/db/"})
        containers = self._databases[database]
        if given["id"] in containers:
            raise Refusal(409, "there is a container of this name")
        number = len(containers) + 1
        made = {"_rid": f"c{number}AAAAAAAA=", "_self": f"dbs/db/colls/c{number}/"}
        containers[given["id"]] = Container(given | made, self._now)
        return Answer(201, containers[given["id"]].properties)

    def _items(self, verb: str, container: Container, name: str, headers: Mapping[str, str], given: Any) -> Answer:
        left, retry_after_ms = self._throttled
        if left:
            self._throttled = (left - 1, retry_after_ms)
            raise Refusal(429, "Request rate is large.", 3200, retry_after_ms)
        partition, match = _partition(headers), headers.get("if-match", "")
        if not name:
            if verb != "POST":
                raise Refusal(400, f"the stand-in does not know {verb} of items")
            if headers.get("x-ms-cosmos-is-batch-request", "").lower() == "true":
                return _batch(container, partition, headers, given)
            if headers.get("x-ms-documentdb-isquery", "").lower() == "true":
                return self._query(container, partition, headers, given)
            if headers.get("x-ms-documentdb-is-upsert", "").lower() == "true":
                return _one(container.upsert(partition, given, match))
            return _one(container.create(partition, given))
        acts: dict[str, Callable[[], Done]] = {
            "GET": lambda: container.read(partition, name, headers.get("if-none-match", "")),
            "PUT": lambda: container.replace(partition, name, given, match),
            "PATCH": lambda: container.patch(partition, name, given, match),
            "DELETE": lambda: container.delete(partition, name, match),
        }
        if verb not in acts:
            raise Refusal(400, f"the stand-in does not know {verb} of an item")
        return _one(acts[verb]())

    def _query(self, container: Container, partition: str, headers: Mapping[str, str], given: Any) -> Answer:
        query = parse_query(given["query"], given.get("parameters") or [])
        asked = hashlib.sha256(json.dumps([partition, given], sort_keys=True).encode()).hexdigest()
        found = container.query(partition, query)
        start = _start(headers.get("x-ms-continuation", ""), asked)
        most = int(headers.get("x-ms-max-item-count") or PAGE)
        page, size = [], 0
        for item in found[start : start + min(PAGE if most == -1 else most, self.page)]:
            size += size_of(item)
            if page and size > PAGE_BYTES:
                break
            page.append(item)
        more: Headers = {}
        if start + len(page) < len(found):
            more["x-ms-continuation"] = f"{start + len(page)}#{asked}"
        charge = charges.of_query([size_of(item) for item in page])
        return Answer(200, {"_rid": "c", "Documents": page, "_count": len(page)}, charge, more)

    def _authorize(self, verb: str, path: str, headers: Mapping[str, str], resource: tuple[str, str]) -> None:
        """Source: Microsoft Learn, "Access control on Azure Cosmos DB resources"."""
        kind, link = resource
        text = f"{verb.lower()}\n{kind}\n{link}\n{headers.get('x-ms-date', '').lower()}\n\n"
        wanted = base64.b64encode(hmac.digest(base64.b64decode(self.key), text.encode(), hashlib.sha256)).decode()
        given = {key: values[0] for key, values in parse_qs(unquote(headers.get("authorization", ""))).items()}
        signature = given.get("sig", "").replace(" ", "+")
        if given.get("type") != "master" or not hmac.compare_digest(signature, wanted):
            raise Refusal(401, f"The input authorization token can't serve the request {verb} {path}")


def _account(host: str) -> dict[str, Any]:
    here = [{"name": "Here", "databaseAccountEndpoint": f"http://{host}/"}]
    return {
        "id": "stand-in",
        "_rid": "stand-in",
        "_self": "",
        "_dbs": "//dbs/",
        "writableLocations": here,
        "readableLocations": here,
        "enableMultipleWriteLocations": False,
        "userConsistencyPolicy": {"defaultConsistencyLevel": "Session"},
        "queryEngineConfiguration": "{}",
    }


def _ranges(headers: Mapping[str, str]) -> Answer:
    """One physical partition, which never splits."""
    if headers.get("if-none-match") == '"1"':
        raise Refusal(304, "Not changed")
    whole = {"id": "0", "_rid": "r0", "minInclusive": "", "maxExclusive": "FF", "status": "online", "parents": []}
    return Answer(200, {"_rid": "c", "PartitionKeyRanges": [whole], "_count": 1}, 1.0, {"etag": '"1"'})


def _resource(database: str, container: str, what: str, name: str, path: str) -> tuple[str, str]:
    """What is signed: a kind, and a link to the resource, or to what it is made in."""
    links = [("dbs", database), ("colls", container), (what, name)]
    link = "/".join(f"{kind}/{value}" for kind, value in links if value)
    kinds = [part for part in path.strip("/").split("/")[::2] if part]
    return (kinds[-1] if kinds else ""), link


def _partition(headers: Mapping[str, str]) -> str:
    given = json.loads(headers.get(PARTITION, "[]"))
    if not given:
        message = "PartitionKey is not given: the stand-in takes no query over partitions"
        raise Refusal(400, message, 1001)
    if len(given) != 1 or not isinstance(given[0], str):
        raise Refusal(400, f"Partition key {given} is invalid: the stand-in takes one text")
    return str(given[0])


def _start(token: str, asked: str) -> int:
    """Where an answer goes on. Refusal: the token is from another query, or invented."""
    place, _, query = token.partition("#")
    if token and (query != asked or not place.isdigit()):
        raise Refusal(400, "Invalid continuation token")
    return int(place or 0)


def _one(done: Done) -> Answer:
    headers = {"etag": done.item["_etag"]} if done.item else {}
    return Answer(done.status, done.item, done.charge, headers)


def _batch(container: Container, partition: str, headers: Mapping[str, str], given: Any) -> Answer:
    if headers.get("x-ms-cosmos-batch-atomic", "").lower() != "true":
        raise Refusal(400, "the stand-in takes atomic batches only")
    if len(json.dumps(given, ensure_ascii=False).encode("utf-8", "surrogatepass")) > BATCH_BYTES:
        raise Refusal(413, "Request size is too large")
    whole, results = container.batch(partition, given)
    answers = [
        {"statusCode": each.status, "requestCharge": 1.0, "message": each.message}
        if isinstance(each, Refusal)
        else {
            "statusCode": each.status,
            "requestCharge": each.charge,
            "eTag": each.item["_etag"] if each.item else "",
            "resourceBody": each.item,
        }
        for each in results
    ]
    return Answer(200 if whole else 207, answers, sum(each["requestCharge"] for each in answers))


def _handler(stand_in: CosmosStandIn) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_args: object) -> None:
            """Nothing: the test says what it has seen."""

        def handle_one_request(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle_one_request()

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            told = {name.lower(): value for name, value in self.headers.items()}
            try:
                answer = stand_in.answer(self.command, self.path.partition("?")[0], told, body)
            except Refusal as refusal:
                more = {"x-ms-substatus": str(refusal.sub_status)} if refusal.sub_status else {}
                if refusal.retry_after_ms:
                    more["x-ms-retry-after-ms"] = str(refusal.retry_after_ms)
                answer = Answer(refusal.status, refusal.body(), 1.0, more)
            stand_in.charged += answer.charge
            self._send(answer)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - names of http.server

        def _send(self, answer: Answer) -> None:
            empty = answer.status in {204, 304} or answer.body is None
            data = b"" if empty else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("x-ms-request-charge", f"{answer.charge:.2f}")
            self.send_header("x-ms-session-token", "0:-1#1")
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    return Handler


@contextlib.contextmanager
def cosmos_stand_in() -> Iterator[CosmosStandIn]:
    """One that is empty."""
    stand_in = CosmosStandIn()
    try:
        yield stand_in
    finally:
        stand_in.close()
