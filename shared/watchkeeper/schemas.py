"""JSON Schemas (draft 2020-12) of what travels on each topic, kept in shared/schemas and made anew by `make schemas`.

What is written has readers in other releases and in other people's programs, so a breaking change is refused: a
property that is gone or newly required, a value that may no longer be what it was, a topic that is gone. The way to
make one is a new schema version (`records.SCHEMA_VERSION`), which every record carries as `v`; what devices send
carries none, and may only ever grow.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from watchkeeper.errors import WatchkeeperError
from watchkeeper.intake import sent
from watchkeeper.intake.sent import SentReading
from watchkeeper.packs import Pack, WirePack
from watchkeeper.topology import RECORDS, TOPICS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from watchkeeper.topology import Topic

Schema: TypeAlias = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"
FOLDER = Path(__file__).parents[1] / "schemas"
ANYTHING: Schema = {}
BOUNDS = {"minimum": 1, "minItems": 1, "minLength": 1, "minProperties": 1}  # 1: a higher one narrows, −1: a lower one
BOUNDS |= {"maximum": -1, "maxItems": -1, "maxLength": -1, "maxProperties": -1}


class BreakingChangeError(WatchkeeperError):
    """A schema would refuse, or no longer hold, what the one before it allowed; one line per change."""


def all_schemas() -> dict[str, Schema]:
    """The schema of each topic, by the topic's name."""
    return {name: schema_of(topic) for name, topic in TOPICS.items()}


def schema_of(topic: Topic) -> Schema:
    """The schema of one message of a topic."""
    made = _sent_schema() if topic.carries == "raw" else _record_schema(topic)
    for part in made["$defs"].values():
        if "description" in part:
            part["description"] = inspect.cleandoc(part["description"])
    return {"$schema": DRAFT, "title": topic.name, **made}


def encode(schema: Schema) -> str:
    """The text of a schema's file, the same each time."""
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"


def write(folder: Path = FOLDER) -> None:
    """Write all schemas. BreakingChangeError: one would break what is there; nothing is written then."""
    before = {path.stem: msgspec.json.decode(path.read_bytes()) for path in sorted(folder.glob("*.json"))}
    after = all_schemas()
    problems = breaking_changes(before, after)
    if problems:
        advice = "raise SCHEMA_VERSION in watchkeeper/records.py; or delete the topic's file first, if nobody reads it"
        raise BreakingChangeError("\n".join([*problems, advice]))
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in after.items():
        (folder / f"{name}.json").write_text(encode(schema), "utf-8")


def breaking_changes(old: Mapping[str, Schema], new: Mapping[str, Schema]) -> list[str]:
    """What of the old schemas, by topic, the new ones no longer allow or hold, a line each.

    A topic whose records carry a higher version may change as it likes.
    """
    found: list[str] = []
    for topic, schema in old.items():
        if topic not in new:
            found.append(f"{topic}: the topic is gone")
        elif _version(new[topic]) <= _version(schema):
            found += _Comparison(schema, new[topic]).changes(topic)
    return found


def main() -> int:
    """Write all schemas into the repository, or into the folder given; answers 1 if a change was refused."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    try:
        write(folder)
    except BreakingChangeError as error:
        sys.stderr.write(f"watchkeeper.schemas: {error}\n")
        return 1
    return 0


def _record_schema(topic: Topic) -> Schema:
    kind = RECORDS[topic.carries]
    return msgspec.json.schema(WirePack if kind is Pack else kind)


def _sent_schema() -> Schema:
    """What a device or client sends, with the limits that `intake.sent` checks beyond its struct."""
    definitions = msgspec.json.schema(SentReading)["$defs"]
    fields = definitions["SentReading"]["properties"]
    name = f"^{sent.NAME.pattern}$"
    fields["values"] |= {"minProperties": 1, "maxProperties": sent.MAX_METRICS}
    fields["values"]["propertyNames"] = {"pattern": f"^{sent.METRIC.pattern}$"}
    fields["tags"]["maxProperties"] = sent.MAX_TAGS
    fields["tags"]["propertyNames"] = {"pattern": f"^{sent.TAG_NAME.pattern}$"}
    for kind in fields["tags"]["additionalProperties"]["anyOf"]:
        if kind["type"] == "string":
            kind["pattern"] = f"^{sent.TAG_VALUE.pattern}$"
    fields["device"] |= {"description": "Over HTTP; over MQTT the topic names the device.", "pattern": f"^$|{name}"}
    fields["site"]["pattern"] = f"^$|{name}"
    one = {"$ref": "#/$defs/SentReading"}
    many = {"type": "array", "items": one, "maxItems": sent.MAX_READINGS}
    company = {"type": "object", "properties": {"readings": many}, "required": ["readings"]}
    return {"anyOf": [one, many, company], "$defs": definitions}


def _version(schema: Schema) -> int:
    whole = _Side(schema).resolved(schema)
    return int(whole.get("properties", {}).get("v", ANYTHING).get("default", 0))


class _Side:
    """One of two schemas that are compared, with its definitions."""

    def __init__(self, whole: Schema) -> None:
        self._definitions: Mapping[str, Schema] = whole.get("$defs", {})

    def resolved(self, schema: Schema) -> Schema:
        """What a reference refers to; anything else is itself."""
        while "$ref" in schema:
            schema = self._definitions[schema["$ref"].removeprefix("#/$defs/")]
        return schema

    def alternatives(self, schema: Schema) -> list[Schema]:
        """What a value may be: the parts of an `anyOf`, and one for each type of several."""
        schema = self.resolved(schema)
        if "anyOf" in schema:
            return [one for part in schema["anyOf"] for one in self.alternatives(part)]
        kinds = schema.get("type")
        return [{**schema, "type": kind} for kind in kinds] if isinstance(kinds, list) else [schema]


class _Comparison:
    """An old schema against a new one, part by part."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._whole, self._old, self._new = (old, new), _Side(old), _Side(new)
        self._within: set[tuple[str, str]] = set()

    def changes(self, where: str) -> list[str]:
        """All that breaks, each with the path to it."""
        return list(self._compare(*self._whole, where))

    def _compare(self, old: Schema, new: Schema, where: str) -> Iterator[str]:
        pair = old.get("$ref", ""), new.get("$ref", "")
        if all(pair) and pair in self._within:
            return  # a definition that holds itself
        self._within.add(pair)
        allowed = self._new.alternatives(new)
        for one in self._old.alternatives(old):
            found = [list(self._against(one, other, where)) for other in allowed if _same_kind(one, other)]
            if not found:
                yield f"{where}: may no longer be {_shown(one)}"
            else:
                yield from min(found, key=len)
        self._within.discard(pair)

    def _against(self, old: Schema, new: Schema, where: str) -> Iterator[str]:
        yield from _narrower(old, new, where)
        olds, news = old.get("properties", {}), new.get("properties", {})
        for name, part in olds.items():
            if name not in news:
                yield f"{where}.{name}: the property is gone"
            else:
                yield from self._compare(part, news[name], f"{where}.{name}")
        for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
            yield f"{where}.{name}: is required now"
        yield from self._rest(old, new, "additionalProperties", f"{where}.*")
        places = old.get("prefixItems", []), new.get("prefixItems", [])
        for index, part in enumerate(places[0]):
            if index >= len(places[1]):
                yield f"{where}[{index}]: the place is gone"
            else:
                yield from self._compare(part, places[1][index], f"{where}[{index}]")
        yield from self._rest(old, new, "items", f"{where}[]")

    def _rest(self, old: Schema, new: Schema, key: str, where: str) -> Iterator[str]:
        """What is said of all other properties or items: a schema, or that there may be none."""
        before, after = old.get(key, True), new.get(key, True)
        if before is False or after is True:
            return
        if after is False:
            yield f"{where}: there may be none now"
        else:
            yield from self._compare(ANYTHING if before is True else before, after, where)


def _same_kind(old: Schema, new: Schema) -> bool:
    kinds = old.get("type"), new.get("type")
    return kinds[1] is None or kinds[0] == kinds[1] or kinds == ("integer", "number")


def _narrower(old: Schema, new: Schema, where: str) -> Iterator[str]:
    if "enum" in new:
        if "enum" not in old:
            yield f"{where}: may be nothing but {new['enum']} now"
        elif gone := [value for value in old["enum"] if value not in new["enum"]]:
            yield f"{where}: may no longer be {', '.join(map(str, gone))}"
    for key, way in BOUNDS.items():
        if key in new and (key not in old or (new[key] - old[key]) * way > 0):
            yield f"{where}: {key} is {new[key]} now, and was {old.get(key, 'none')}"
    for key in ("pattern", "propertyNames", "contentEncoding", "format"):
        if key in new and new[key] != old.get(key):
            yield f"{where}: {key} is {new[key]} now, and was {old.get(key, 'none')}"


def _shown(schema: Schema) -> str:
    return str(schema.get("type") or schema.get("enum") or "anything")


if __name__ == "__main__":
    sys.exit(main())
