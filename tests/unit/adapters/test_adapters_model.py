import json
import time

import pytest

from tests.unit.adapters.stand_ins import CUT, DRIP, GOOD, HANG, ChatStandIn, chat, error, nowhere
from watchkeeper.errors import ConfigError, ModelError, Unavailable
from watchkeeper.explaining.text import SCHEMA
from watchkeeper.ports import Completion
from watchkeeper_adapters.circuit import CircuitBreaker
from watchkeeper_adapters.dialect import strict_schema
from watchkeeper_adapters.language_model import LONGEST_REPLY, OpenAICompatible

OBJECT = {"type": "object", "properties": {}, "additionalProperties": False}


def has_schema(asked):
    return asked.get("response_format", {}).get("type") == "json_schema"


def test_a_good_answer_comes_back_with_what_it_used(model, chat_server):
    answer = model.complete("system", "prompt", SCHEMA)
    assert answer == Completion(json.dumps(GOOD), "small-model", 120, 40)
    (asked,) = chat_server.asked
    assert asked["model"] == "small-model"
    assert asked["temperature"] == 0
    assert asked["max_tokens"] == 1200
    assert [message["content"] for message in asked["messages"]] == ["system", "prompt"]


def test_the_schema_is_sent_in_the_form_that_strict_mode_takes(model, chat_server):
    model.complete("system", "prompt", SCHEMA)
    sent = chat_server.asked[0]["response_format"]["json_schema"]
    assert sent["strict"] is True
    assert sent["schema"]["type"] == "object"
    assert sent["schema"]["additionalProperties"] is False
    assert set(sent["schema"]["required"]) == set(sent["schema"]["properties"]) == set(GOOD)
    text = json.dumps(sent["schema"])
    assert not any(f'"{word}":' in text for word in ("minLength", "maxLength", "minItems", "maxItems", "$ref"))
    assert sent["schema"]["properties"]["what"]["description"] == "minLength 10, maxLength 1200"


def test_a_strict_schema_keeps_properties_that_are_called_like_limits_and_references_to_others():
    schema = {
        "$ref": "#/$defs/Root",
        "$defs": {
            "Root": {"type": "object", "properties": {"format": {"$ref": "#/$defs/Part"}}},
            "Part": {"type": "string", "description": "a part", "maxLength": 3},
        },
    }
    strict = strict_schema(schema)
    assert strict["properties"] == {"format": {"$ref": "#/$defs/Part"}}
    assert strict["$defs"]["Part"] == {"type": "string", "description": "a part, maxLength 3"}
    assert strict_schema(OBJECT) == OBJECT


def test_the_same_question_is_answered_from_memory_and_costs_nothing(model, chat_server):
    first = model.complete("system", "prompt", SCHEMA)
    assert model.complete("system", "prompt", SCHEMA) == first._replace(prompt_tokens=0, completion_tokens=0)
    assert len(chat_server.seen) == 1


@pytest.mark.parametrize(
    "question", [("other", "prompt", SCHEMA), ("system", "other", SCHEMA), ("system", "prompt", OBJECT)]
)
def test_another_question_is_asked(model, chat_server, question):
    model.complete("system", "prompt", SCHEMA)
    model.complete(*question)
    assert len(chat_server.seen) == 2


def test_the_memory_forgets_what_was_used_longest_ago(open_model, chat_server):
    model = open_model(cache_size=2)
    for prompt in ("a", "b", "a", "c", "a", "b"):
        model.complete("system", prompt, SCHEMA)
    assert [asked["messages"][1]["content"] for asked in chat_server.asked] == ["a", "b", "c", "b"]


def test_an_answer_that_was_cut_off_is_given_with_its_cost_but_not_remembered(model, chat_server):
    chat_server.script = [chat('{"what": "Vibr', finish="length")]
    assert model.complete("system", "prompt", SCHEMA).completion_tokens == 40
    assert model.complete("system", "prompt", SCHEMA).completion_tokens == 40
    assert len(chat_server.seen) == 2


def test_tokens_are_estimated_where_the_endpoint_reports_none(model, chat_server):
    chat_server.script = [chat("x" * 41, usage=None)]
    answer = model.complete("s" * 10, "p" * 30, OBJECT)
    assert (answer.prompt_tokens, answer.completion_tokens) == (10, 11)


def test_json_is_taken_out_of_its_fence_and_from_behind_thoughts(model, chat_server):
    chat_server.script = [chat('<think>Hm {"no"}.\n</think>\n```json\n{"a": 1}\n```\n')]
    assert model.complete("system", "prompt", OBJECT).text == '{"a": 1}'


def test_an_endpoint_without_schemas_is_asked_for_a_json_object_and_that_is_remembered(model, chat_server):
    chat_server.refuses = [(has_schema, "This response_format type is unavailable now")]
    model.complete("system", "one", SCHEMA)
    model.complete("system", "two", SCHEMA)
    formats = [asked["response_format"]["type"] for asked in chat_server.asked]
    assert formats == ["json_schema", "json_object", "json_object"]
    assert "JSON Schema" in chat_server.asked[1]["messages"][0]["content"]
    assert "maxItems" in chat_server.asked[1]["messages"][0]["content"]


def test_an_endpoint_without_any_format_is_asked_in_words(model, chat_server):
    chat_server.refuses = [(lambda asked: "response_format" in asked, "response_format must be json_schema or text")]
    assert model.complete("system", "one", SCHEMA).text == json.dumps(GOOD)
    assert "response_format" not in chat_server.asked[-1]
    model.complete("system", "two", SCHEMA)
    assert len(chat_server.seen) == 4


def test_a_model_that_takes_neither_max_tokens_nor_a_temperature_keeps_its_schema(model, chat_server):
    limit = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    chat_server.refuses = [
        (lambda asked: "max_tokens" in asked, limit),
        (lambda asked: "temperature" in asked, "Unsupported value: 'temperature' does not support 0 with this model."),
    ]
    model.complete("system", "one", SCHEMA)
    model.complete("system", "two", SCHEMA)
    assert len(chat_server.seen) == 4
    asked = chat_server.asked[-1]
    assert has_schema(asked)
    assert asked["max_completion_tokens"] == 1200
    assert "max_tokens" not in asked
    assert "temperature" not in asked


def test_a_request_that_no_form_mends_changes_no_form(model, chat_server):
    chat_server.script = [*[error(400, "the moon is wrong")] * 3, chat(json.dumps(GOOD))]
    with pytest.raises(ModelError, match="answers 400: the moon is wrong"):
        model.complete("system", "one", SCHEMA)
    model.complete("system", "two", SCHEMA)
    assert has_schema(chat_server.asked[-1])


def test_a_400_that_is_about_the_question_is_not_tried_in_other_forms(model, chat_server):
    chat_server.script = [error(400, "too long", code="context_length_exceeded")]
    with pytest.raises(ModelError, match="too long"):
        model.complete("system", "prompt", SCHEMA)
    assert len(chat_server.seen) == 1


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (chat(""), r"the model's answer is empty \(finish_reason stop\)"),
        (chat(None), "is empty"),
        (chat("", finish="length"), r"is empty \(finish_reason length\)"),
        (chat("<think>only thoughts</think>"), "is empty"),
        (chat(None, refusal="I cannot\nhelp with that"), "the model refuses: I cannot help with that"),
        (chat("half of it", finish="content_filter"), "content filter"),
        ((200, {}, {"choices": []}), "without any choice"),
        ((200, {}, {"choices": [{"message": {"content": 5}}]}), "no chat completion"),
        ((200, {}, b"<html>a proxy's page</html>"), "no chat completion"),
        ((200, {}, b"\xff\xfe"), "no chat completion"),
        ((200, {}, b" " * (LONGEST_REPLY + 1)), "answers with more than"),
        (error(403, "this key may not"), "answers 403: this key may not"),
        (error(404, "no such model"), "answers 404"),
        ((307, {"Location": "http://127.0.0.1:9/elsewhere"}, b""), "answers 307"),
    ],
)
def test_an_answer_that_cannot_be_used_is_a_model_error(model, chat_server, answer, says):
    chat_server.script = [answer]
    with pytest.raises(ModelError, match=says):
        model.complete("system", "prompt", SCHEMA)
    assert len(chat_server.seen) == 1


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (error(429, "slow down", headers={"Retry-After": "7"}), r"answers 429: slow down \(Retry-After: 7\)"),
        (error(500, "broken"), "answers 500: broken"),
        ((503, {}, b"a gateway's page"), "answers 503: a gateway's page"),
        ((200, {}, CUT), "cannot be reached"),
    ],
)
def test_an_endpoint_in_trouble_is_unavailable_and_not_asked_again_in_secret(model, chat_server, answer, says):
    chat_server.script = [answer]
    with pytest.raises(Unavailable, match=says):
        model.complete("system", "prompt", SCHEMA)
    assert len(chat_server.seen) == 1


@pytest.mark.parametrize("answer", [HANG, DRIP])
def test_an_endpoint_that_hangs_or_only_keeps_the_line_warm_is_given_up(open_model, chat_server, answer):
    chat_server.script = [(200, {}, answer)]
    model = open_model(timeout_s=0.4)
    model._client  # noqa: B018 - the import of the client is not what is measured
    started = time.monotonic()
    with pytest.raises(Unavailable, match=r"has not answered within 0\.4 s"):
        model.complete("system", "prompt", SCHEMA)
    assert time.monotonic() - started < 1.5


def test_an_endpoint_that_is_not_there_is_unavailable():
    with (
        OpenAICompatible(f"{nowhere()}/v1", "m", timeout_s=2) as model,
        pytest.raises(Unavailable, match="refused"),
    ):
        model.complete("system", "prompt", SCHEMA)


def test_an_open_circuit_spares_the_endpoint_and_remembered_answers_are_still_given(open_model, chat_server):
    model = open_model(breaker=CircuitBreaker(failures=2, open_s=600))
    kept = model.complete("system", "kept", SCHEMA)
    chat_server.script = [error(500, "broken")]
    for _ in range(4):
        with pytest.raises(Unavailable):
            model.complete("system", "new", SCHEMA)
    assert len(chat_server.seen) == 3
    assert model.complete("system", "kept", SCHEMA).text == kept.text


def test_a_key_is_shown_to_the_endpoint_and_to_nobody_else(chat_server, caplog):
    caplog.set_level("DEBUG")
    model = OpenAICompatible(f"{chat_server.url}/v1", "m", "sk-wrong-but-secret")
    with model, pytest.raises(ModelError, match="answers 401: Incorrect API key provided") as caught:
        model.complete("system", "prompt", SCHEMA)
    assert chat_server.seen[0].headers["Authorization"] == "Bearer sk-wrong-but-secret"
    assert "sk-wrong-but-secret" not in str(caught.value) + caplog.text


def test_an_endpoint_without_keys_needs_none(chat_server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(ChatStandIn, "KEY", "none")
    with OpenAICompatible(f"{chat_server.url}/v1", "m") as model:
        assert model.complete("system", "prompt", SCHEMA).text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("localhost:8000/v1", "m"), "language model: not an address"),
        (("ftp://host/v1", "m"), "not an address"),
        (("http://host:port/v1", "m"), "host or port"),
        (("http://host/v1", ""), "no name of a model"),
        (("http://host/v1", "m", "key\n"), "API key"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(arguments, says):
    with pytest.raises(ConfigError, match=says):
        OpenAICompatible(*arguments)
