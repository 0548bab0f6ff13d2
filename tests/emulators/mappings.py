"""Lambda's event source mappings of Kafka, which no emulator has: a strict stand-in, asked over HTTP.

What it refuses is taken from the service's API reference: an unknown mapping, any input but `Enabled`, and any change
while an earlier one is still under way.
"""

from __future__ import annotations

import json
from urllib.parse import parse_qs, unquote, urlsplit

from tests.emulators.interference import Asked, Refuse

ROOT = "/2015-03-31/event-source-mappings"
PAGE = 2  # mappings an answer has, so that a client has to go on


class Mappings:
    """Mappings by UUID, of functions by the name that they call. `settle`: changes under way come to their end."""

    def __init__(self, function: dict[str, str]) -> None:
        """All are enabled."""
        self.function = dict(function)
        self.state = dict.fromkeys(self.function, "Enabled")
        self.changes: list[tuple[str, bool]] = []

    def settle(self) -> None:
        ends = {"Enabling": "Enabled", "Disabling": "Disabled"}
        self.state = {uuid: ends.get(state, state) for uuid, state in self.state.items()}

    def __call__(self, asked: Asked) -> Refuse | None:
        """A plan of what stands between: the answer to a request that is for Lambda; None: it is another service's."""
        where = urlsplit(asked.path)
        if not where.path.startswith("/2015-03-31/"):
            return None
        if asked.method == "GET" and where.path.rstrip("/") == ROOT:
            return self._list({key: values[0] for key, values in parse_qs(where.query).items()})
        if asked.method == "PUT" and where.path.startswith(f"{ROOT}/"):
            return self._update(unquote(where.path.removeprefix(f"{ROOT}/")), json.loads(asked.body))
        return _error(403, "AccessDeniedException", f"{asked.method} {where.path}")

    def _list(self, query: dict[str, str]) -> Refuse:
        if unknown := query.keys() - {"FunctionName", "Marker"}:
            return _error(400, "InvalidParameterValueException", f"{unknown}")
        found = sorted(uuid for uuid, name in self.function.items() if name == query["FunctionName"])
        at = int(query.get("Marker", 0))
        answer = {"EventSourceMappings": [self._shown(uuid) for uuid in found[at : at + PAGE]]}
        more = {"NextMarker": str(at + PAGE)} if found[at + PAGE :] else {}
        return _answer(200, answer | more)

    def _update(self, uuid: str, wanted: dict[str, object]) -> Refuse:
        if wanted not in ({"Enabled": True}, {"Enabled": False}):
            return _error(400, "InvalidParameterValueException", f"{wanted}")
        if uuid not in self.state:
            return _error(404, "ResourceNotFoundException", uuid)
        if self.state[uuid] not in {"Enabled", "Disabled"}:
            return _error(400, "ResourceInUseException", f"{uuid} is {self.state[uuid]}")
        on = bool(wanted["Enabled"])
        self.changes.append((uuid, on))
        self.state[uuid] = "Enabling" if on else "Disabling"
        return _answer(202, self._shown(uuid))

    def _shown(self, uuid: str) -> dict[str, str]:
        return {"UUID": uuid, "State": self.state[uuid], "FunctionArn": f"arn:aws:lambda:x:1:{self.function[uuid]}"}


def _answer(status: int, body: dict[str, object]) -> Refuse:
    return Refuse(status, json.dumps(body).encode(), "application/json")


def _error(status: int, kind: str, message: str) -> Refuse:
    body = json.dumps({"Type": "User", "Message": message}).encode()
    return Refuse(status, body, "application/json", (("x-amzn-ErrorType", kind),))
