import socket

from tests.ports import free_port
from watchkeeper.memory import memory_ports
from watchkeeper.published import Published
from watchkeeper_api import Backend
from watchkeeper_local.knowledge import read_bundle
from watchkeeper_local.serve import ApiServer, listen
from watchkeeper_local.settings import Settings


def test_an_answer_of_several_packets_does_not_wait_for_the_clients_acknowledgement():
    ports = memory_ports()
    settings = Settings(http_port=free_port())
    listener = listen(settings)
    server = ApiServer(settings, Backend(ports, Published(ports, read_bundle()), 16, lambda: 0), listener)
    server.start()
    try:
        accepted = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        server.stop()
    assert accepted != 0
