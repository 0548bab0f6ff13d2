"""Whatever bytes arrive, a decoder answers or raises what its docstring says; more than ten thousand inputs."""

import contextlib
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.golden_samples import FOLDER
from tests.unit.core.stages_of_tests import Bench, stage
from watchkeeper.detection.model import Model
from watchkeeper.errors import DecodeError, KnowledgeError, ModelError, StateError
from watchkeeper.intake.bodies import readings_of
from watchkeeper.intake.sent import Bad, SentReading, fault_of, time_of
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.outcome import RawMessage
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Stored
from watchkeeper.stages.ingest import admit
from watchkeeper.states import read_envelope
from watchkeeper.topology import (
    BATCH_DATA_INGESTION,
    DASHBOARD_ALERTS,
    DEVICE_TELEMETRY,
    RAG_ERROR_REPORTING,
    RULE_CHECK_OUTPUT,
)
from watchkeeper.wire import decode

GOLDEN = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
BODIES = {
    "json": [
        b'{"device":"pump-1","ts":"2026-03-01T08:00:00Z","values":{"flow":1.5,"vibration":null},"tags":{"line":"a"}}',
        b'[{"device":"pump-1","ts":1772352000000,"values":{"flow":1}},{"device":"pump-2","values":{"flow":2e3}}]',
        b'{"readings":[{"device":"h","site":"n","ts":1772352000000.5,"values":{"cpu":NaN}}]}',
    ],
    "ndjson": [
        b'{"device":"pump-1","values":{"flow":1.5}}\n\n{"device":"pump-2","ts":"2026-03-01T08:00:00Z","values":{}}\r\n',
        b'\xef\xbb\xbf{"device":"h","values":{"cpu":null},"tags":{"rack":4}}\n[]',
    ],
    "msgpack": [
        msgspec.msgpack.encode({"device": "pump-1", "ts": 1772352000000, "values": {"flow": 1.5, "vibration": None}}),
        msgspec.msgpack.encode([{"device": f"p{n}", "values": {"a": n}, "tags": {"on": True}} for n in range(20)]),
        msgspec.msgpack.encode({"readings": [{"device": "h", "site": "n", "ts": "2026-03-01", "values": {}}]}),
    ],
    "csv": [
        b"device,ts,flow,tag.line\npump-1,1772352000000,1.5,a\npump-2,2026-03-01T08:00:00Z,,b\n",
        b'\xef\xbb\xbfdevice,"fl""ow"\r\na,1',
        b"ts;device;flow\n2026-03-01;pump-1;1,5\n;;\n",
        "device\tflow\nä\t1|2\n".encode("utf-16"),
    ],
}
SPLICES = [
    b"",
    b"\x00",
    b"\xff",
    b"[" * 2000,
    b"null",
    b"1e999",
    b"-1",
    b"18446744073709551616",
    b'"\\ud800"',
    b"NaN",
    b"{}",
    b"\xed\xa0\x80",
    b"\x91" * 2000,
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xd6\xff\x00\x00\x00\x01",
]


def a_message(topic):
    return lambda data: decode(topic, Stored(0, 0, data, {}))


def a_body(form):
    def take(data):
        for item in readings_of(data, form):
            if isinstance(item, Bad):
                assert item.reason
            else:
                assert isinstance(item, SentReading)
                fault_of(item)
                time_of(item.ts)

    return take


def a_request(form):
    """A body through ingest itself: whatever it is, there is a receipt, and what was made can be encoded."""
    bench = Bench(stage())

    def take(data):
        context = bench.runner._context({})
        context.stage = STAGES["ingest"]
        outcome, (receipt,) = admit(
            [RawMessage(data, 1_772_352_000_000, "t", format=form)], BATCH_DATA_INGESTION, context
        )
        assert receipt.error or receipt.accepted + len(receipt.rejected) >= 0
        assert sum(len(emit.record) for emit in outcome.emits) == receipt.accepted
        for emit in outcome.emits:
            assert decode(RULE_CHECK_OUTPUT, Stored(0, 0, emit.record.encode(), {}))
        msgspec.json.encode(outcome.dead)

    return take


DECODERS = {
    "pack": (a_message(RULE_CHECK_OUTPUT), [GOLDEN["record-pack-v1.json"]], (DecodeError,), 3000),
    "anomaly": (a_message(RAG_ERROR_REPORTING), [GOLDEN["record-anomaly-v1.json"]], (DecodeError,), 1000),
    "alert": (a_message(DASHBOARD_ALERTS), [GOLDEN["record-alert-v1.json"]], (DecodeError,), 1000),
    "raw": (a_message(DEVICE_TELEMETRY), BODIES["json"], (), 100),
    "envelope": (lambda data: read_envelope(data, "here"), [GOLDEN["state-envelope-v1.bin"]], (StateError,), 1000),
    "json": (a_body("json"), BODIES["json"], (DecodeError,), 2000),
    "csv": (a_body("csv"), BODIES["csv"], (DecodeError,), 2000),
    "ndjson": (a_body("ndjson"), BODIES["ndjson"], (DecodeError,), 2000),
    "msgpack": (a_body("msgpack"), BODIES["msgpack"], (DecodeError,), 2000),
    "msgpack request": (a_request("msgpack"), BODIES["msgpack"], (), 500),
    "ndjson request": (a_request("ndjson"), BODIES["ndjson"], (), 500),
    "json request": (a_request("json"), BODIES["json"], (), 1500),
    "csv request": (a_request("csv"), BODIES["csv"], (), 500),
    "bundle": (
        Bundle.decode,
        [b'{"rules/x.yaml":"applies_to: pump\\nrules: []\\n","devices/y.yaml":"class: pump"}'],
        (KnowledgeError,),
        300,
    ),
} | {
    f"state of {name}": (STAGES[name].codec.decode, [GOLDEN[f"state-{name}-v1.bin"]], (StateError,), 700)
    for name in ("clean", "rule_check", "ml_score", "store", "rag_explain", "notify")
}


def mutated(data, chance):
    """Bytes like these: some replaced, removed, repeated, spliced in or cut off."""
    data = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 8])):
        at = chance.randrange(len(data) + 1)
        upto = min(len(data), at + chance.choice([1, 1, 4, 40]))
        kind = chance.randrange(5)
        if kind == 0:
            data[at:upto] = chance.randbytes(upto - at)
        elif kind == 1:
            del data[at:upto]
        elif kind == 2:
            data[at:at] = data[at:upto]
        elif kind == 3:
            data[at:at] = chance.choice(SPLICES)
        else:
            data[at:upto] = str(chance.choice([-1, 0, 2**31, 2**63, 2**64, 1e308])).encode()
    return bytes(data[: chance.randrange(len(data) + 1)] if chance.random() < 0.1 else data)


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_answers_or_raises_what_it_says(name):
    take, samples, errors, times = DECODERS[name]
    chance = random.Random(name)
    refused = 0
    for turn in range(times):
        data = chance.randbytes(chance.randrange(64)) if turn % 10 == 0 else mutated(chance.choice(samples), chance)
        try:
            take(data)
        except errors:
            refused += 1
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} of {data!r}: {error}") from error
    assert not errors or refused, "nothing was refused: is anything decoded?"


def test_there_are_at_least_ten_thousand_inputs():
    assert sum(times for *_, times in DECODERS.values()) >= 10_000


NAMES = st.sampled_from(["a", "device", "ts", "values", "tags", "readings", "v"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_a_body_or_is_refused_in_words(value):
    a_request("json")(msgspec.json.encode(value))


@given(JSON)
def test_any_json_in_place_of_a_part_of_a_pack_is_a_pack_or_is_refused(value):
    good = msgspec.json.decode(GOLDEN["record-pack-v1.json"])
    for part in [*good]:
        with contextlib.suppress(DecodeError):
            a_message(RULE_CHECK_OUTPUT)(msgspec.json.encode(good | {part: value}))


def test_a_model_is_decoded_or_refused():
    chance = random.Random(1)
    for _ in range(200):
        with pytest.raises(ModelError):
            Model.decode(b"WKM1" + chance.randbytes(chance.randrange(40)))
