"""Tokens of people: JSON Web Tokens of an OpenID Connect issuer, signed by RS256, with keys that the issuer publishes.

Formats: RFC 7519 (JWT), RFC 7515 (signatures), RFC 7517 (keys), RFC 8017, 8.2.2 (RSASSA-PKCS1-v1_5). The encoded
message is made and compared, so nothing in a signature is parsed. One verifier for Cognito, whose access tokens carry
`client_id` where others carry `aud`, and all others.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from watchkeeper.errors import Unavailable

LEEWAY_S = 60  # that clocks may differ
KEYS_KEPT_S = 3600.0
KEYS_ANEW_S = 60.0  # for a key that is not known; no more often, whoever asks
FETCH_S = 3.0
LARGEST = 100_000  # bytes of what an issuer says
SMALLEST_KEY = 2048  # bits
_SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")  # the DigestInfo before a SHA-256
Fetch = Callable[[str], bytes]


class _Header(msgspec.Struct):
    alg: str
    kid: str = ""


class _Claims(msgspec.Struct):
    iss: str
    exp: float
    nbf: float = 0.0
    aud: str | list[str] = ""
    client_id: str = ""


class _Key(NamedTuple):
    modulus: int
    exponent: int


def fetch(url: str) -> bytes:
    """What an address says. Unavailable: nothing, or too much; or it is not https."""
    if not url.startswith("https://"):
        raise Unavailable(f"issuer: {url[:100]!r} is no https address")
    try:
        with urllib.request.urlopen(url, timeout=FETCH_S) as answer:  # noqa: S310 - https, checked above
            data: bytes = answer.read(LARGEST + 1)
    except OSError as error:
        raise Unavailable(f"issuer: {url} cannot be read: {error}") from error
    if len(data) > LARGEST:
        raise Unavailable(f"issuer: {url} says more than {LARGEST:,} bytes")
    return data


class Verifier:
    """Says what a token claims, if its issuer says so and it is meant for us.

    `audience`: what `aud` or `client_id` must be. Keys are kept for an hour; one that is not known is looked for at
    most once a minute.
    """

    def __init__(
        self, issuer: str, audience: str, fetch: Fetch = fetch, clock: Callable[[], float] = time.time
    ) -> None:
        self._issuer, self._audience, self._fetch, self._clock = issuer, audience, fetch, clock
        self._keys: dict[str, _Key] = {}
        self._fetched = float("-inf")

    def claims(self, token: str) -> dict[str, Any] | None:
        """All claims; None: it is no token of this issuer for us, or not now. Unavailable: its keys cannot be had."""
        parts = token.split(".")
        if len(parts) != 3 or not self._issuer or not self._audience:
            return None
        try:
            head, body, signature = (_decoded(part) for part in parts)
            header = msgspec.json.decode(head, type=_Header)
            said = msgspec.json.decode(body, type=_Claims)
            claims: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
        except (ValueError, msgspec.MsgspecError, RecursionError):
            return None
        if header.alg != "RS256" or not self._in_force(said):
            return None
        key = self._key(header.kid)
        if key is None or not _signed(f"{parts[0]}.{parts[1]}".encode("ascii"), signature, key):
            return None
        return claims

    def _in_force(self, said: _Claims) -> bool:
        meant = [said.aud] if isinstance(said.aud, str) else said.aud
        now = self._clock()
        return (
            said.iss == self._issuer
            and self._audience in (*meant, said.client_id)
            and said.nbf - LEEWAY_S <= now < said.exp + LEEWAY_S
        )

    def _key(self, name: str) -> _Key | None:
        age = self._clock() - self._fetched
        if age > KEYS_KEPT_S or (name not in self._keys and age > KEYS_ANEW_S):
            self._keys = self._read_keys()
            self._fetched = self._clock()
        return self._keys.get(name)

    def _read_keys(self) -> dict[str, _Key]:
        try:
            about = msgspec.json.decode(self._fetch(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"))
            published = msgspec.json.decode(self._fetch(str(about["jwks_uri"])))["keys"]
            return {
                str(key.get("kid", "")): _Key(_number(key["n"]), _number(key["e"]))
                for key in published
                if key.get("kty") == "RSA" and key.get("use", "sig") == "sig"
            }
        except (ValueError, msgspec.MsgspecError, KeyError, TypeError, AttributeError) as error:
            raise Unavailable(f"issuer: what it says of its keys is not understood: {error}") from error


def client_of(claims: Mapping[str, Any]) -> tuple[str, str]:
    """A person's name and tenant (empty: none is said)."""
    name = next((str(claims[each]) for each in ("email", "username", "sub") if claims.get(each)), "")
    tenant = next((str(claims[each]) for each in ("custom:tenant", "tenant") if claims.get(each)), "")
    return name, tenant


def _signed(message: bytes, signature: bytes, key: _Key) -> bool:
    size = (key.modulus.bit_length() + 7) // 8
    if key.modulus.bit_length() < SMALLEST_KEY or len(signature) != size:
        return False
    value = int.from_bytes(signature, "big")
    if value >= key.modulus:
        return False
    info = _SHA256 + hashlib.sha256(message).digest()
    expected = b"\x00\x01" + b"\xff" * (size - len(info) - 3) + b"\x00" + info
    return hmac.compare_digest(pow(value, key.exponent, key.modulus).to_bytes(size, "big"), expected)


def _decoded(part: str) -> bytes:
    """URL-safe base64 without padding, strictly."""
    text = part.encode("ascii") + b"=" * (-len(part) % 4)
    try:
        return base64.b64decode(text, altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def _number(text: str) -> int:
    return int.from_bytes(_decoded(text), "big")
