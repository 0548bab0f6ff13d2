"""The HTTP sender against a real server that refuses, throttles and then accepts."""

import email.utils
import ssl
import time

import pytest

from tests.ports import free_port
from tests.unit.sources.servers import Server, some
from watchkeeper.errors import ConfigError, Unavailable
from watchkeeper_local.sources.send_http import HttpSender
from watchkeeper_local.sources.sent import Rejection, Sent


def test_readings_go_out_in_batches_of_a_thousand_each_with_a_key_of_its_own(server):
    with HttpSender(server.url, api_key="k-1") as sender:
        sent = sender.send(some(2500))
    assert (sent.accepted, sent.rejected, sent.retries) == (2500, 0, 0)
    assert [len(readings) for _, _, readings, _ in server.seen] == [1000, 1000, 500]
    assert [reading for _, _, readings, _ in server.seen for reading in readings] == some(2500)
    assert {path for path, *_ in server.seen} == {"/ingest/batch"}
    assert {headers["X-API-Key"] for _, headers, _, _ in server.seen} == {"k-1"}
    assert len(set(server.keys())) == 3


def test_a_refused_broken_and_throttled_batch_is_tried_again_with_the_same_key():
    port = free_port()
    waits = []
    servers = []

    def sleep(seconds):
        waits.append(seconds)
        if not servers:
            one = Server(port)
            one.script = [(None, {}, None), (503, {}, {}), (429, {"Retry-After": "7"}, {})]
            servers.append(one)

    try:
        with HttpSender(f"http://127.0.0.1:{port}", sleep=sleep) as sender:
            sent = sender.send(some(3))
        assert (sent.accepted, sent.retries) == (3, 4)
        assert len(servers[0].seen) == 4
        assert len(set(servers[0].keys())) == 1
        assert waits == [0.1, 0.2, 0.4, 7.0]
    finally:
        for one in servers:
            one.close()


def test_retry_after_may_be_a_date(server):
    waits = []
    server.script = [(429, {"Retry-After": email.utils.formatdate(time.time() + 5, usegmt=True)}, {})]
    with HttpSender(server.url, sleep=waits.append) as sender:
        assert sender.send(some(1)).accepted == 1
    assert waits[0] == pytest.approx(4.5, abs=1)


def test_retry_after_is_really_waited_for(server):
    server.script = [(429, {"Retry-After": "0.3"}, {})]
    with HttpSender(server.url) as sender:
        sender.send(some(1))
    assert server.seen[1][3] - server.seen[0][3] >= 0.3


def test_a_server_that_is_not_there_is_named_with_its_url():
    url = f"http://127.0.0.1:{free_port()}"
    with HttpSender(url, patience_s=0.3) as sender, pytest.raises(Unavailable, match=f"{url}/ingest/batch cannot be"):
        sender.send(some(1))


def test_patience_ends_with_a_server_that_asks_for_too_much_of_it(server):
    server.script = [(429, {"Retry-After": "3600"}, {"detail": "budget"})]
    with HttpSender(server.url) as sender, pytest.raises(Unavailable, match=r"answers 429 .*budget"):
        sender.send(some(1))


def test_a_wrong_key_is_not_tried_again(server):
    server.script = [(401, {}, {"detail": "no such key"})]
    with HttpSender(server.url) as sender, pytest.raises(ConfigError, match=r"401 .*no such key.*check the API key"):
        sender.send(some(1))
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"accepted": 1, "rejected": [{"index": 1, "reason": "no values"}]},
        {"accepted": 1, "rejected": [{"index": 1, "reason": "no values"}], "rejected_count": 1, "shed": 0},
    ],
)
def test_what_the_server_rejects_is_counted_with_its_place_in_the_whole(server, answer):
    server.script = [Server.accept(some(1000)), (202, {}, answer)]
    with HttpSender(server.url) as sender:
        sent = sender.send(some(1002))
    assert (sent.accepted, sent.rejected) == (1001, 1)
    assert sent.rejections == (Rejection(1001, "no values"),)


def test_readings_shed_for_the_budget_are_counted(server):
    server.script = [(202, {}, {"accepted": 1, "rejected": [], "rejected_count": 2, "shed": 2})]
    with HttpSender(server.url) as sender:
        assert sender.send(some(3)) == Sent(accepted=1, rejected=2, shed=2)


def test_a_server_that_is_no_watchkeeper_is_told(server):
    server.script = [(200, {}, {"hello": "world"})]
    with HttpSender(server.url) as sender, pytest.raises(ConfigError, match="without counts"):
        sender.send(some(1))


def test_a_batch_the_server_cannot_take_is_rejected_and_the_next_one_goes_on(server):
    server.script = [(400, {}, {"detail": "broken"})]
    with HttpSender(server.url) as sender:
        sent = sender.send(some(1001))
    assert (sent.accepted, sent.rejected) == (1, 1000)
    assert "broken" in sent.rejections[0].reason
    assert len(sent.rejections) <= 100


def test_a_batch_that_is_too_large_is_halved_until_it_fits(server):
    server.accept = lambda readings: (413, {}, {}) if len(readings) > 300 else Server.accept(readings)
    with HttpSender(server.url) as sender:
        assert sender.send(some(1000)).accepted == 1000


def test_the_password_of_a_url_is_used_and_never_shown(server):
    url = server.url.replace("http://", "http://anna:s%3Acret@")
    with HttpSender(url) as sender:
        sender.send(some(1))
        assert "cret" not in sender.url
    assert server.seen[0][1]["Authorization"] == "Basic YW5uYTpzOmNyZXQ="


def test_https_is_trusted_by_the_given_authority_only(server, certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    url = server.url.replace("http://", "https://")
    with HttpSender(url, ca_file=certificate[0]) as sender:
        assert sender.send(some(3)).accepted == 3
    with HttpSender(url, patience_s=0.3) as sender, pytest.raises(Unavailable, match="certificate"):
        sender.send(some(3))
