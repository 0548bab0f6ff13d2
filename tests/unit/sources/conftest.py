import shutil
import subprocess

import pytest

from tests.ports import free_port
from tests.unit.sources.servers import Server


@pytest.fixture
def server():
    one = Server()
    yield one
    one.close()


@pytest.fixture(scope="session")
def broker():
    iotcore = pytest.importorskip("iotcore")
    with iotcore.Broker(port=free_port(), listen="127.0.0.1") as one:
        yield one


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate of 127.0.0.1 and its key."""
    openssl = shutil.which("openssl") or pytest.skip("needs openssl to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([openssl, *made, *subject], check=True, capture_output=True)
    return str(cert), str(key)
