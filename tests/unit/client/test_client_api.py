"""The client against the real application, served by uvicorn over ports in memory."""

import threading

import pytest
import uvicorn

from tests.unit.client.servers import until
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.memory import memory_ports
from watchkeeper.packs import Pack
from watchkeeper.published import Published
from watchkeeper.topology import DEAD_LETTER, IOT_DATA_INGESTION
from watchkeeper_api import Backend, create_app, key_digest
from watchkeeper_api import Client as KnownClient
from watchkeeper_local.node import clock


@pytest.fixture
def ports():
    return memory_ports(partitions=2)


@pytest.fixture
def url(ports):
    keys = {key_digest("secret"): KnownClient("checkout", "acme")}
    backend = Backend(ports, Published(ports, Bundle.from_files({})), 16, clock, keys)
    config = uvicorn.Config(create_app(backend), host="127.0.0.1", port=0, log_level="warning", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert until(lambda: server.started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def readings(ports, topic):
    logs = (ports.stream.read(topic.name, p, -1, 1_000) for p in range(ports.stream.partitions(topic.name)))
    return [reading for log in logs for stored in log for reading in Pack.decode(stored.value).readings()]


def test_what_is_measured_becomes_readings_of_the_tenant_whose_key_it_is(url, ports, make_client):
    client = make_client(url, api_key="secret", site="basel", tags={"version": "1.4"})
    client.gauge("queue_depth", 17)
    with client.timer("render"):
        client.increment("orders", 3)
    for number in range(300):
        client.gauge(f"g{number}", number)
    assert client.flush(10)
    first, second = readings(ports, IOT_DATA_INGESTION)
    assert first.values["queue_depth"] == 17
    values = first.values | second.values
    assert (values["orders"], values["render.count"], len(values)) == (3, 1, 305)
    assert (first.tenant, first.device, first.site, first.tags) == ("acme", "checkout", "basel", {"version": "1.4"})
    assert (client.rejected, client.dropped) == (0, 0)
    assert not any(ports.stream.read(DEAD_LETTER.name, p, -1, 9) for p in range(2))


def test_with_a_wrong_key_readings_wait_until_the_next_run_has_the_right_one(url, ports, make_client, caplog):
    wrong = make_client(url, api_key="wrong")
    wrong.gauge("n", 1)
    assert not wrong.flush(0.5)
    assert "check api_key" in caplog.text
    wrong.close(0.5)
    right = make_client(url, api_key="secret")
    assert right.flush(10)
    assert [reading.values for reading in readings(ports, IOT_DATA_INGESTION)] == [{"n": 1}]
    assert wrong.dropped == right.dropped == 0
