"""Shared access signatures: `SharedAccessSignature sr=…&sig=…&se=…&skn=…`.

Source: Microsoft Learn, "Authenticate access to Azure Event Hubs using shared access signatures".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit


def path_of(token: str, keys: Mapping[str, str]) -> str:
    """What a token opens, as a path in the namespace. PermissionError: it opens nothing."""
    kind, _, rest = token.partition(" ")
    parts = {name: values[0] for name, values in parse_qs(rest, strict_parsing=True).items()}
    signed = dict(part.split("=", 1) for part in rest.split("&"))
    key = keys.get(parts.get("skn", ""))
    if kind != "SharedAccessSignature" or key is None:
        raise PermissionError("InvalidSignature: there is no such policy")
    text = f"{signed['sr']}\n{signed['se']}".encode()
    wanted = base64.b64encode(hmac.digest(key.encode(), text, hashlib.sha256)).decode()
    if not hmac.compare_digest(wanted, parts["sig"]):
        raise PermissionError("InvalidSignature: The token has an invalid signature.")
    if int(parts["se"]) < time.time():
        raise PermissionError("ExpiredToken: The token is expired.")
    return urlsplit(parts["sr"]).path.strip("/").lower()
