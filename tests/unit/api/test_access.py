import pytest

from watchkeeper_api import Client, Limits, key_digest
from watchkeeper_api.access import TokenBuckets
from watchkeeper_api.refusals import RefusedError

KEYS = {key_digest("alpha"): Client("dashboard"), key_digest("beta"): Client("plant", "acme")}


@pytest.mark.parametrize("path", ["/api/devices", "/api/anomalies", "/api/alerts", "/api/status", "/metrics"])
@pytest.mark.parametrize(
    "headers", [{}, {"x-api-key": ""}, {"x-api-key": "gamma"}, {"authorization": "Basic YTpi"}, {"x-api-key": "ä"}]
)
def test_without_a_known_key_nothing_is_told(make_api, path, headers):
    encoded = {name: value.encode() for name, value in headers.items()}
    answer = make_api(api_keys=KEYS).get(path, headers=encoded)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("headers", [{"x-api-key": "alpha"}, {"authorization": "Bearer beta"}])
def test_a_key_is_taken_from_either_header(make_api, headers):
    assert make_api(api_keys=KEYS).get("/api/devices", headers=headers).status_code == 200


def test_a_wrong_key_cannot_send_readings(make_api, ports):
    answer = make_api(api_keys=KEYS).post("/ingest/realtime", json=[], headers={"x-api-key": "gamma"})
    assert answer.status_code == 401
    assert ports.meter.total("0001-01-01", "9999-12-31") == {}


@pytest.mark.parametrize(("peer", "status"), [("127.0.0.1", 200), ("::1", 200), ("192.0.2.7", 401), ("proxy", 401)])
def test_without_keys_only_this_machine_is_served(make_api, peer, status):
    assert make_api(peer=peer).get("/api/devices").status_code == status


def test_health_asks_nobody_for_a_key(make_api):
    assert make_api(peer="192.0.2.7", api_keys=KEYS).get("/health").status_code == 200


def test_a_client_that_asks_too_often_is_told_when_to_come_again(make_api):
    api = make_api(api_keys=KEYS, limits=Limits(requests_per_second=0.25, burst=2))
    alpha, beta = {"x-api-key": "alpha"}, {"x-api-key": "beta"}
    assert [api.get("/api/devices", headers=alpha).status_code for _ in range(3)] == [200, 200, 429]
    answer = api.post("/ingest/realtime", json=[], headers=alpha)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_requests")
    assert 1 <= int(answer.headers["retry-after"]) <= 4
    assert api.get("/api/devices", headers=beta).status_code == 200


def test_requests_that_are_refused_are_counted_where_operators_look(make_api):
    api = make_api(api_keys=KEYS, limits=Limits(requests_per_second=0.001, burst=2))
    alpha, beta = {"x-api-key": "alpha"}, {"x-api-key": "beta"}
    assert [api.get("/health", headers=alpha).status_code for _ in range(9)] == [200] * 9
    assert [api.get("/api/devices", headers=alpha).status_code for _ in range(5)] == [200, 200, 429, 429, 429]
    assert api.get("/api/status", headers=beta).json()["throttled"] == 3
    assert "watchkeeper_throttled_requests_total 3\n" in api.get("/metrics", headers=beta).text


def test_a_bucket_fills_with_time_and_never_above_its_burst():
    now = [100.0]
    buckets = TokenBuckets(Limits(requests_per_second=2.0, burst=3), lambda: now[0])
    client = Client("a")

    def taken(tries):
        count = 0
        for _ in range(tries):
            try:
                buckets.take(client)
            except RefusedError:
                continue
            count += 1
        return count

    assert taken(10) == 3
    now[0] += 1.0
    assert taken(10) == 2
    now[0] += 1_000.0
    assert taken(10) == 3


def test_a_rate_of_zero_limits_nothing():
    buckets = TokenBuckets(Limits(requests_per_second=0, burst=1), lambda: 0.0)
    for _ in range(1_000):
        buckets.take(Client("a"))
