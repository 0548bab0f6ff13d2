"""Senders are chosen by URL, paced by event time, and add up what they did."""

import pytest

from tests.unit.sources.servers import START, some
from watchkeeper.errors import ConfigError
from watchkeeper_local.sources.endpoint import parse_endpoint
from watchkeeper_local.sources.send import open_sender, pace
from watchkeeper_local.sources.send_http import HttpSender
from watchkeeper_local.sources.send_mqtt import MqttSender
from watchkeeper_local.sources.sent import Rejection, Sent


def test_tls_without_its_certificates_is_told(tmp_path):
    with pytest.raises(ConfigError, match="no certificates to trust"):
        MqttSender("mqtts://127.0.0.1", ca_file=str(tmp_path / "none.pem"))
    with pytest.raises(ConfigError, match="no certificates to trust"):
        HttpSender("https://127.0.0.1", ca_file=str(tmp_path / "none.pem"))


def test_the_scheme_chooses_the_sender(broker, server):
    with open_sender(server.url, api_key="k") as http, open_sender(f"mqtt://127.0.0.1:{broker.port}") as other:
        assert isinstance(http, HttpSender)
        assert isinstance(other, MqttSender)


@pytest.mark.parametrize("url", ["ftp://x", "localhost:1883", "mqtt://", "http://x:port", "", "http://[::1"])
def test_what_is_no_address_is_refused_with_how_to_write_one(url):
    with pytest.raises(ConfigError, match="write http://host"):
        open_sender(url)


@pytest.mark.parametrize(
    ("url", "port"), [("mqtt://h", 1883), ("mqtts://h", 8883), ("https://h", 443), ("http://h/base/", 80)]
)
def test_each_scheme_has_its_usual_port(url, port):
    assert parse_endpoint(url).port == port


class Time:
    def __init__(self):
        self.now = 100.0

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_a_pace_of_sixty_shortens_an_hour_to_a_minute_and_keeps_the_order():
    when, given = Time(), []
    readings = [{"device": "d", "ts": START + 300_000 * n, "values": {"v": n}} for n in range(13)]
    for batch in pace(readings, "60", clock=when.clock, sleep=when.sleep):
        given += [(when.now - 100.0, [one["values"]["v"] for one in batch])]
    assert [values for _, values in given] == [[n] for n in range(13)]
    assert [at for at, _ in given[:-1]] == pytest.approx([5.0 * n for n in range(12)])
    assert when.now == pytest.approx(160.0)


def test_readings_that_are_due_together_travel_together():
    when = Time()
    readings = [one for n in range(3) for one in [some(20)[n]] * 20]
    assert [len(batch) for batch in pace(readings, 1, clock=when.clock, sleep=when.sleep)] == [20, 20, 20]


def test_the_greatest_speed_never_sleeps_and_fills_its_batches():
    def never(_):
        pytest.fail("slept")

    assert [len(batch) for batch in pace(iter(some(2500)), "max", sleep=never)] == [1000, 1000, 500]


def test_what_is_out_of_order_goes_at_once():
    when = Time()
    readings = [some(10)[n] for n in (0, 9, 3, 4)]
    assert sum(len(batch) for batch in pace(readings, 1, clock=when.clock, sleep=when.sleep)) == 4
    assert when.now == pytest.approx(109.0)


@pytest.mark.parametrize("speed", ["fast", "0", "-1", "nan", "inf"])
def test_another_speed_is_refused(speed):
    with pytest.raises(ConfigError, match='write "max"'):
        list(pace(some(1), speed))


def test_reports_add_up_and_keep_the_places_of_rejections():
    total = Sent(3, 1, 0, 1, (Rejection(2, "a"),)) + Sent(1, 1, 2, 0, (Rejection(0, "b"),))
    assert total == Sent(4, 2, 2, 1, (Rejection(2, "a"), Rejection(4, "b")))
