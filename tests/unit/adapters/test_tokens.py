"""Tokens of people: what is let in, and all that is not."""

import base64
import hashlib
import json
import random

import pytest

from watchkeeper.errors import Unavailable
from watchkeeper_adapters.cloud import tokens
from watchkeeper_adapters.cloud.tokens import Verifier, client_of

ISSUER, AUDIENCE, NOW = "https://issuer.example/pool", "dashboard", 1_790_000_000.0
GOOD = {"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 600, "sub": "1234", "email": "eva@example.com", "tenant": "acme"}


def prime(bits, rng):
    """A probable prime; e = 65537 does not divide it less one."""
    while True:
        n = rng.getrandbits(bits) | (3 << (bits - 2)) | 1
        if all(n % small for small in (3, 5, 7, 11, 13, 17, 19, 23)) and n % 65537 != 1 and pow(2, n - 1, n) == 1:
            return n


class Issuer:
    """Signs, and publishes its keys."""

    def __init__(self, bits=2048, seed=7):
        rng = random.Random(seed)
        p, q = prime(bits // 2, rng), prime(bits // 2, rng)
        self.n, self.e = p * q, 65537
        self._d = pow(self.e, -1, (p - 1) * (q - 1))
        self.asked, self.kid = [], "k1"

    def token(self, claims, alg="RS256", kid=None, info=tokens._SHA256):
        head = encoded(json.dumps({"alg": alg, "kid": kid or self.kid}).encode())
        signed = f"{head}.{encoded(json.dumps(claims).encode())}"
        return f"{signed}.{encoded(self.signature(signed.encode(), info))}"

    def signature(self, message, info):
        size = (self.n.bit_length() + 7) // 8
        tail = info + hashlib.sha256(message).digest()
        padded = b"\x00\x01" + b"\xff" * (size - len(tail) - 3) + b"\x00" + tail
        return pow(int.from_bytes(padded, "big"), self._d, self.n).to_bytes(size, "big")

    def fetch(self, url):
        self.asked.append(url)
        if url.endswith("openid-configuration"):
            return json.dumps({"jwks_uri": "https://issuer.example/keys"}).encode()
        key = {"kty": "RSA", "use": "sig", "kid": self.kid, "n": number(self.n), "e": number(self.e)}
        return json.dumps({"keys": [key, {"kty": "EC", "kid": "k2"}]}).encode()


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value):
    return encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Clock:
    now = NOW

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def issuer():
    return Issuer()


@pytest.fixture
def verifier(issuer):
    issuer.asked, issuer.kid = [], "k1"
    return Verifier(ISSUER, AUDIENCE, issuer.fetch, Clock())


def test_a_token_of_the_issuer_for_us_is_what_it_claims(issuer, verifier):
    claims = verifier.claims(issuer.token(GOOD))
    assert client_of(claims) == ("eva@example.com", "acme")
    cognito = {"iss": ISSUER, "client_id": AUDIENCE, "exp": NOW + 1, "username": "eva", "token_use": "access"}
    assert client_of(verifier.claims(issuer.token(cognito))) == ("eva", "")
    assert verifier.claims(issuer.token(GOOD | {"aud": ["other", AUDIENCE]}))
    assert len(issuer.asked) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://other.example"},
        {"aud": "other"},
        {"aud": []},
        {"exp": NOW - 61},
        {"nbf": NOW + 61},
        {"exp": "x"},
    ],
)
def test_a_token_of_another_for_another_or_of_another_time_is_not(issuer, verifier, wrong):
    assert verifier.claims(issuer.token(GOOD | wrong)) is None


def test_a_token_without_an_end_is_not(issuer, verifier):
    assert verifier.claims(issuer.token({key: value for key, value in GOOD.items() if key != "exp"})) is None


def test_what_is_changed_or_signed_in_another_way_is_not(issuer, verifier):
    head, body, signature = issuer.token(GOOD).split(".")
    other = encoded(json.dumps(GOOD | {"email": "mallory@example.com"}).encode())
    none = encoded(b'{"alg": "none"}')
    flipped = encoded(bytes(64) + b"\x01")
    for token in (
        f"{head}.{other}.{signature}", f"{none}.{body}.", f"{head}.{body}.", f"{head}.{body}.{flipped}",
        f"{head}.{body}.{signature}AA", f"{head}.{body}.{number(issuer.n + 1)}", issuer.token(GOOD, alg="HS256"),
        issuer.token(GOOD, info=b""), "a.b.c", "..", "", f"{head}.{body}.é", "x" * 9999, f" {head}.{body}.{signature}",
    ):  # fmt: skip
        assert verifier.claims(token) is None, token[:80]


def test_a_short_key_is_not_trusted():
    short = Issuer(bits=1024)
    assert Verifier(ISSUER, AUDIENCE, short.fetch, Clock()).claims(short.token(GOOD)) is None


def test_a_new_key_is_looked_for_and_not_for_everybody_who_asks(issuer):
    clock = Clock()
    issuer.asked, issuer.kid = [], "k1"
    verifier = Verifier(ISSUER, AUDIENCE, issuer.fetch, clock)
    assert verifier.claims(issuer.token(GOOD))
    issuer.kid = "k9"
    for _ in range(5):
        assert verifier.claims(issuer.token(GOOD)) is None
    assert len(issuer.asked) == 2
    clock.now += 61
    assert verifier.claims(issuer.token(GOOD))
    assert len(issuer.asked) == 4


@pytest.mark.parametrize("said", [b"", b"[]", b'{"jwks_uri": 5}', b'{"keys": 5}'])
def test_an_issuer_that_cannot_be_understood_is_unavailable(issuer, said):
    with pytest.raises(Unavailable, match="issuer"):
        Verifier(ISSUER, AUDIENCE, lambda _: said, Clock()).claims(issuer.token(GOOD))


def test_only_https_is_asked():
    for url in ("http://issuer.example/keys", "file:///etc/passwd", "5"):
        with pytest.raises(Unavailable, match="no https address"):
            tokens.fetch(url)


def test_without_an_issuer_no_token_is_good(issuer):
    assert Verifier("", "", issuer.fetch, Clock()).claims(issuer.token(GOOD)) is None
