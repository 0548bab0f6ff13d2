"""`watchkeeper status`: asks a running Watchkeeper how it is."""

from __future__ import annotations

import json
from typing import Any

import httpx

from watchkeeper.errors import Unavailable
from watchkeeper_adapters.tls import authorities


def fetch(url: str, path: str, api_key: str | None = None) -> Any:  # noqa: ANN401 - JSON
    """The JSON of an API path. Unavailable: nobody answers there, or not with 200."""
    headers = {"X-API-Key": api_key} if api_key else {}
    try:
        answer = httpx.get(f"{url.rstrip('/')}{path}", headers=headers, timeout=10, verify=authorities())
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        message = f"{url} does not answer ({error}); is `watchkeeper up` running there?"
        raise Unavailable(message) from error
    if answer.status_code != httpx.codes.OK:
        message = f"{url}{path} answers {answer.status_code}: {answer.text[:200]}"
        raise Unavailable(message)
    return answer.json()


def show_status(url: str, api_key: str | None, *, as_json: bool) -> int:
    """Print the status, for people or as JSON."""
    status = fetch(url, "/api/status", api_key)
    if as_json:
        print(json.dumps(status, indent=1))
        return 0
    for section, content in status.items():
        if isinstance(content, dict):
            print(f"{section}:")
            for name, value in content.items():
                print(f"  {name:24} {_short(value)}")
        else:
            print(f"{section:26} {_short(content)}")
    return 0


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(inner)}" for name, inner in value.items()) or "none"
    return str(value)
