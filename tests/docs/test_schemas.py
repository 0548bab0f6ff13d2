"""The schemas of the topics: kept in the repository, true of what is sent, and changed without breaking a reader."""

import copy
import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from watchkeeper import schemas
from watchkeeper.ids import shard_of
from watchkeeper.intake.bodies import readings_of
from watchkeeper.memory import MemoryReceiver, memory_ports
from watchkeeper.outcome import RawMessage
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Message
from watchkeeper.published import Published
from watchkeeper.run import Runner
from watchkeeper.stages.ingest import admit
from watchkeeper.topology import TOPICS
from watchkeeper.worker import Worker
from watchkeeper_local.knowledge import read_bundle

NOW = 1_790_000_000_000
SHARDS = 16
NO_READINGS = [b"{", b'{"values": {}}']
SENT = [
    {"values": {"flow": 1.5}},
    {"device": "pump-07", "ts": NOW, "values": {"flow": 1, "vibration": None}, "tags": {"a": "b", "n": 1}, "site": "x"},
    [{"ts": "2026-03-01T12:00:00Z", "values": {"flow": 1.5}}, {"ts": 1.79e12, "values": {"flow": 2}}],
    {"readings": [{"values": {"flow": 1.5}}]},
]
NOT_SENT = [
    {"value": {"flow": 1.5}},
    {"values": {}},
    {"values": {"flow": "1.5"}},
    {"device": "pump 07", "values": {"flow": 1.5}},
    [{"values": {"flow": 1.5}, "metrics": {}}],
    "flow",
]


def validator(topic: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schemas.schema_of(TOPICS[topic]))


@pytest.fixture(scope="module")
def travelled():
    """Every message that went over each topic when a pump sent good, bad and alarming readings, by hub and by HTTP."""
    ports = memory_ports(receivers={"memory": MemoryReceiver()})
    published, now = Published(ports, read_bundle()), [NOW]
    shard = shard_of("default", "pump-07", SHARDS)
    headers = {"device": "pump-07", "tenant": "default", "received": str(NOW)}
    sent = [{"ts": NOW + 1000 * i, "values": {"motor_voltage": 400 if i < 3 else 90, "flow": None}} for i in range(20)]
    sent += [{"values": {"flow": 99.0}, "tags": {"line": "A"}, "site": "north"}]
    bodies = [msgspec.json.encode(sent), *NO_READINGS]
    ports.stream.append("device-telemetry", [Message(shard, body, headers) for body in bodies])
    http = RawMessage(b'{"device": "pump-07", "values": {"flow": 1.5, "other": 2}}', NOW, "default", request="r")
    ingest = Runner(STAGES["ingest"], None, ports, published, SHARDS, lambda: NOW)
    ingest.request(lambda ctx: admit([http], TOPICS["batch-data-ingestion"], ctx)[0])
    worker = Worker(ports, published, shards=SHARDS, clock=lambda: now[0])
    for _ in range(20):
        worker.step()
        now[0] += 1000
    return {
        name: [stored.value for partition in range(ports.stream.partitions(name))
               for stored in ports.stream.read(name, partition, -1, 1000)]
        for name in TOPICS
    }  # fmt: skip


def test_the_committed_schemas_are_those_of_the_code():
    made = {name: schemas.encode(schema) for name, schema in schemas.all_schemas().items()}
    committed = {path.stem: path.read_text("utf-8") for path in schemas.FOLDER.iterdir()}
    assert committed == made, "run `make schemas`"


def test_no_change_since_the_committed_schemas_breaks_a_reader():
    committed = {path.stem: json.loads(path.read_text("utf-8")) for path in schemas.FOLDER.iterdir()}
    assert schemas.breaking_changes(committed, schemas.all_schemas()) == []


@pytest.mark.parametrize("topic", TOPICS)
def test_every_schema_is_one(topic):
    jsonschema.Draft202012Validator.check_schema(schemas.schema_of(TOPICS[topic]))


@pytest.mark.parametrize("topic", TOPICS)
def test_what_travels_on_a_topic_fits_its_schema(topic, travelled):
    assert travelled[topic]
    for value in travelled[topic]:
        if value not in NO_READINGS:
            validator(topic).validate(json.loads(value))


def test_a_record_of_another_topic_does_not_fit(travelled):
    for topic in ("rag-error-reporting", "dashboard-alerts", "rule-check-output", "dead-letter"):
        others = [name for name in TOPICS if TOPICS[name].carries != TOPICS[topic].carries]
        assert not [name for name in others if validator(topic).is_valid(json.loads(travelled[name][0]))]


@pytest.mark.parametrize("body", SENT, ids=json.dumps)
def test_what_ingest_understands_fits_the_schema_of_device_messages(body):
    validator("device-telemetry").validate(body)
    assert all(isinstance(item, schemas.SentReading) for item in readings_of(json.dumps(body).encode(), "json"))


@pytest.mark.parametrize("body", NOT_SENT, ids=json.dumps)
def test_what_ingest_rejects_does_not_fit_it(body):
    assert not validator("device-telemetry").is_valid(body)


# --- breaking changes, planted --------------------------------------------------------------------------------------

OLD = {
    "t": {
        "$ref": "#/$defs/Thing",
        "$defs": {
            "Thing": {
                "type": "object",
                "properties": {
                    "id": {"type": "string", "minLength": 2},
                    "size": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                    "kind": {"enum": ["a", "b"]},
                    "parts": {"type": "array", "items": {"$ref": "#/$defs/Thing"}},
                    "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
                    "named": {"type": "object", "additionalProperties": {"type": "number"}},
                    "v": {"type": "integer", "default": 1},
                },
                "required": ["id"],
            }
        },
    }
}


def changed(edit):
    new = copy.deepcopy(OLD)
    thing = new["t"]["$defs"]["Thing"]
    edit(thing["properties"], thing)
    return schemas.breaking_changes(OLD, new)


BREAKING = {
    "t.size: the property is gone": lambda p, t: p.pop("size"),
    "t.size: is required now": lambda p, t: t["required"].append("size"),
    "t.size: may no longer be null": lambda p, t: p.update(size={"type": "integer"}),
    "t.size: may no longer be integer": lambda p, t: p.update(size={"type": ["string", "null"]}),
    "t.kind: may no longer be b": lambda p, t: p.update(kind={"enum": ["a", "c"]}),
    "t.id: may be nothing but ['x'] now": lambda p, t: p["id"].update(enum=["x"]),
    "t.id: minLength is 3 now, and was 2": lambda p, t: p["id"].update(minLength=3),
    "t.id: maxLength is 9 now, and was none": lambda p, t: p["id"].update(maxLength=9),
    "t.id: pattern is ^a now, and was none": lambda p, t: p["id"].update(pattern="^a"),
    "t.parts[]: may no longer be object": lambda p, t: p["parts"].update(items={"type": "string"}),
    "t.pair[1]: the place is gone": lambda p, t: p["pair"]["prefixItems"].pop(),
    "t.pair[0]: may no longer be integer": lambda p, t: p["pair"]["prefixItems"].__setitem__(0, {"type": "string"}),
    "t.named.*: may no longer be number": lambda p, t: p["named"].update(additionalProperties={"type": "integer"}),
    "t.*: there may be none now": lambda p, t: t.update(additionalProperties=False),
    "t.pair[]: may no longer be anything": lambda p, t: p["pair"].update(items={"type": "string"}),
}

HARMLESS = {
    "nothing": lambda p, t: None,
    "a new property": lambda p, t: p.update(colour={"type": "string"}),
    "a property that may be left out now": lambda p, t: t["required"].clear(),
    "more types": lambda p, t: p.update(size={"anyOf": [{"type": "number"}, {"type": "string"}, {"type": "null"}]}),
    "one more of an enumeration": lambda p, t: p["kind"]["enum"].append("c"),
    "a wider bound": lambda p, t: p["id"].update(minLength=1),
    "no bound": lambda p, t: p["id"].pop("minLength"),
    "one more place": lambda p, t: p["pair"]["prefixItems"].append({"type": "string"}),
    "others of any type": lambda p, t: p["named"].update(additionalProperties=True),
    "anything, with a new version": lambda p, t: p.update(id={"type": "integer"}, v={"default": 2}),
}


@pytest.mark.parametrize("said", BREAKING)
def test_a_breaking_change_is_named(said):
    assert changed(BREAKING[said]) == [said]


@pytest.mark.parametrize("name", HARMLESS)
def test_a_change_that_breaks_nobody_is_none(name):
    assert changed(HARMLESS[name]) == []


def test_a_topic_that_is_gone_is_a_breaking_change():
    assert schemas.breaking_changes(OLD, {}) == ["t: the topic is gone"]
    assert schemas.breaking_changes({}, OLD) == []


def test_writing_refuses_a_breaking_change_and_then_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["watchkeeper.schemas", str(tmp_path)])
    assert schemas.main() == 0
    file = tmp_path / "dead-letter.json"
    written = {path: path.read_text("utf-8") for path in tmp_path.iterdir()}
    assert {Path(path).stem for path in written} == set(TOPICS)
    old = json.loads(written[file])
    old["$defs"]["DeadLetter"]["properties"]["colour"] = {"type": "string"}
    file.write_text(json.dumps(old), "utf-8")
    assert schemas.main() == 1
    assert "dead-letter.colour: the property is gone" in capsys.readouterr().err
    assert json.loads(file.read_text("utf-8")) == old
    file.unlink()
    assert schemas.main() == 0
    assert {path: path.read_text("utf-8") for path in tmp_path.iterdir()} == written
