import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper_api import Client, Limits, key_digest
from watchkeeper_api.access import MOST_BUCKETS, TokenBuckets
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
    client = "a"

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
        assert buckets.take("a") is None


def test_every_answer_says_how_the_client_stands(make_api):
    api = make_api(api_keys=KEYS, limits=Limits(requests_per_second=0.5, burst=3))
    answers = [api.get("/api/devices", headers={"x-api-key": "alpha"}) for _ in range(4)]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert {answer.headers["ratelimit-limit"] for answer in answers} == {"3"}
    assert 4 <= int(answers[-1].headers["ratelimit-reset"]) <= 6
    assert "ratelimit-limit" not in api.get("/health").headers


def test_whoever_tries_keys_is_held_to_the_same_pace_by_its_address(make_api):
    api = make_api(peer="192.0.2.7", api_keys=KEYS, limits=Limits(requests_per_second=0.1, burst=2))
    tries = [api.get("/api/devices", headers={"x-api-key": f"guess-{number}"}).status_code for number in range(4)]
    assert tries == [401, 401, 429, 429]
    assert api.get("/api/devices", headers={"x-api-key": "alpha"}).status_code == 200


def test_buckets_take_a_bounded_space_and_the_busy_are_not_forgotten():
    buckets = TokenBuckets(Limits(requests_per_second=0.001, burst=2), lambda: 0.0)
    for _ in range(2):
        buckets.take("busy")
    for number in range(MOST_BUCKETS * 2):
        buckets.take(f"address {number}")
        if number % 1_000 == 0:
            with pytest.raises(RefusedError):
                buckets.take("busy")
    assert len(buckets._buckets) == MOST_BUCKETS


@given(
    st.lists(st.floats(0, 3), min_size=1, max_size=60),
    st.floats(0.1, 50),
    st.integers(1, 20),
)
def test_in_no_stretch_of_time_more_is_served_than_a_bucket_and_what_flows_in(gaps, rate, burst):
    now = [0.0]
    buckets = TokenBuckets(Limits(requests_per_second=rate, burst=burst), lambda: now[0])
    served = []
    for gap in gaps:
        now[0] += gap
        try:
            buckets.take("a")
        except RefusedError as error:
            wait_s = int(error.headers["Retry-After"])
            assert wait_s >= 1
        else:
            served.append(now[0])
    for first in range(len(served)):
        for last in range(first, len(served)):
            assert last - first + 1 <= burst + rate * (served[last] - served[first]) + 1e-6
