"""Puts a package into a Flex Consumption app, and keeps those before it.

Each package lies in the app's container under its digest; the one that runs is copied to the name that the platform
looks for, and the app is told to take it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from watchkeeper_infra.credentials import ask, token_for

STORAGE, MANAGEMENT = "https://storage.azure.com", "https://management.azure.com"
RELEASED = "released-package.zip"  # the platform's own name for what runs
STORAGE_VERSION, WEB_VERSION = "2023-11-03", "2023-12-01"
EXISTS, MISSING = 409, 404
LOOK_S, PATIENCE_S = 5.0, 600.0
Token = Callable[[str], str]


def release(
    app: str, container: str, digest: str, package: Path | None, management: str = MANAGEMENT, token: Token = token_for
) -> None:
    """Make an app run the package with a digest; `app` is its resource id, `container` the address of its packages.

    `package` is the file with that digest; None: it was deployed before. RuntimeError: it was not, or what Azure says.
    """
    of_storage = partial(token, STORAGE)
    version = {"x-ms-version": STORAGE_VERSION}
    kept = f"{container}/{digest}.zip"
    if package is not None:
        new = version | {"x-ms-blob-type": "BlockBlob", "If-None-Match": "*"}
        ask("PUT", kept, of_storage, package.read_bytes(), new, taken=(201, EXISTS))
    elif ask("HEAD", kept, of_storage, headers=version, taken=(200, MISSING)).status == MISSING:
        message = f"the package {digest} was never deployed to {app.rpartition('/')[2]}: watchkeeper:packages"
        raise RuntimeError(message)
    _copy(kept, f"{container}/{RELEASED}", of_storage)
    _take(app, f"{container}/{RELEASED}", management, partial(token, MANAGEMENT))


def _copy(source: str, target: str, token: Callable[[], str]) -> None:
    """Within an account a copy is done at once, but the service may also say that it goes on."""
    headers = {"x-ms-version": STORAGE_VERSION, "x-ms-copy-source": source}
    answer = ask("PUT", target, token, b"", headers, taken=(202,))
    until = time.monotonic() + PATIENCE_S
    while (status := answer.headers.get("x-ms-copy-status", "success")) != "success":
        if status != "pending" or time.monotonic() > until:
            message = f"the copy to {target} is {status}"
            raise RuntimeError(message)
        time.sleep(LOOK_S)
        answer = ask("HEAD", target, token, headers={"x-ms-version": STORAGE_VERSION})


def _take(app: str, package: str, management: str, token: Callable[[], str]) -> None:
    """The app takes its package; how far it is, it says at the address that it answers."""
    address = f"{management}{app}/extensions/onedeploy?api-version={WEB_VERSION}"
    body = json.dumps({"properties": {"packageUri": package, "remoteBuild": False}}).encode()
    answer = ask("PUT", address, token, body, {"Content-Type": "application/json"})
    until, where = time.monotonic() + PATIENCE_S, answer.headers.get("Location")
    while answer.status == 202 and where:
        if time.monotonic() > until:
            message = f"{app} has not taken its package in {PATIENCE_S:g} s"
            raise RuntimeError(message)
        time.sleep(LOOK_S)
        answer = ask("GET", where, token)
        where = answer.headers.get("Location", where)
    state = _state_of(answer.body)
    if state in {"Failed", "Canceled"}:
        message = f"{app} did not take its package: {answer.body[:500].decode('utf-8', 'replace')}"
        raise RuntimeError(message)


def _state_of(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except json.JSONDecodeError:
        return ""
    found = answer.get("properties", {}).get("provisioningState") or answer.get("status")
    return found if isinstance(found, str) else ""
