"""OpenAI's chat protocol in the forms that compatible endpoints take it, and what their answers say.

Not every endpoint takes a JSON Schema, newer models of OpenAI take neither `max_tokens` nor a temperature, and some
wrap their JSON. See https://platform.openai.com/docs/api-reference/chat and /docs/guides/structured-outputs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from watchkeeper.errors import ModelError
from watchkeeper.ports import Completion
from watchkeeper_adapters.plain import excerpt

SIGNS_PER_TOKEN = 4
NOT_ABOUT_FORM = frozenset({"content_filter", "context_length_exceeded", "invalid_api_key", "model_not_found"})
# Keywords that strict mode refuses, at OpenAI or at Azure: their limits become words.
_LIMITS = ("minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum", "pattern", "format", "uniqueItems")
_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_FENCED = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*?)\s*```\s*\Z", re.DOTALL)


class Form(msgspec.Struct, frozen=True):
    """How a request is put: what shape the answer is asked to have, and by which parameters."""

    answer: Literal["json_schema", "json_object", "text"] = "json_schema"
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: bool = True

    def request(self, system: str, prompt: str, schema: Mapping[str, object], max_tokens: int) -> dict[str, Any]:
        """The parameters of a chat completion, without the model."""
        asked: dict[str, Any] = {self.limit: max_tokens}
        if self.temperature:
            asked["temperature"] = 0
        if self.answer == "json_schema":
            strict = {"name": "answer", "strict": True, "schema": strict_schema(schema)}
            asked["response_format"] = {"type": "json_schema", "json_schema": strict}
        else:
            text = msgspec.json.encode(schema).decode()
            system = f"{system}\n\nAnswer with one JSON object that fits this JSON Schema, and nothing else:\n{text}"
        if self.answer == "json_object":
            asked["response_format"] = {"type": "json_object"}
        asked["messages"] = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
        return asked

    def after_refusal(self, says: str) -> Form | None:
        """The form to try next when an endpoint refuses this one and says why; None: there is no simpler one."""
        if self.limit == "max_tokens" and "max_completion_tokens" in says:
            return msgspec.structs.replace(self, limit="max_completion_tokens")
        if self.temperature and "temperature" in says:
            return msgspec.structs.replace(self, temperature=False)
        if self.answer == "json_schema":
            return msgspec.structs.replace(self, answer="json_object")
        if self.answer == "json_object":
            return msgspec.structs.replace(self, answer="text")
        return None


def strict_schema(schema: Mapping[str, object]) -> dict[str, Any]:
    """The schema as strict mode takes it: an object at its root, closed objects, limits said in words."""
    whole: dict[str, Any] = _strict(dict(schema))
    name = str(whole.get("$ref", "")).rpartition("/")[2]
    if not name:
        return whole
    root: dict[str, Any] = whole["$defs"][name]
    return root | {"$defs": whole["$defs"]} if b'"$ref"' in msgspec.json.encode(whole["$defs"]) else root


def _strict(node: Any) -> Any:  # noqa: ANN401 - any piece of JSON
    if isinstance(node, list):
        return [_strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    # A keyword has a plain value; a property that happens to be called `format` has a schema.
    limits = {word: node[word] for word in _LIMITS if isinstance(node.get(word), int | float | str)}
    kept = {word: _strict(value) for word, value in node.items() if word not in limits}
    if limits:
        words = [f"{word} {value}" for word, value in limits.items()]
        kept["description"] = ", ".join([node["description"], *words] if "description" in node else words)
    return kept


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Reply(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


class Answered(msgspec.Struct, frozen=True):
    """An answer that can be used, and whether the model came to its end."""

    completion: Completion
    whole: bool


def read_reply(body: bytes, model: str, asked: str) -> Answered:
    """What the endpoint answered to the text `asked`. ModelError: a refusal, nothing, or no chat completion.

    Where the endpoint does not say how many tokens it used, they are estimated at 4 characters each.
    """
    try:
        reply = msgspec.json.decode(body, type=_Reply)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"the endpoint's answer is no chat completion: {error}") from error
    if not reply.choices:
        raise ModelError("the endpoint answers without any choice")
    choice = reply.choices[0]
    if choice.message.refusal:
        raise ModelError(f"the model refuses: {excerpt(choice.message.refusal)}")
    if choice.finish_reason == "content_filter":
        raise ModelError("the endpoint's content filter withholds the answer")
    text = _bare(choice.message.content or "")
    if not text:
        raise ModelError(f"the model's answer is empty (finish_reason {excerpt(choice.finish_reason or 'unknown')})")
    usage = reply.usage or _Usage()
    completion = Completion(
        text, model, _tokens(usage.prompt_tokens, asked), _tokens(usage.completion_tokens, choice.message.content or "")
    )
    return Answered(completion, choice.finish_reason != "length")


def _bare(text: str) -> str:
    """The JSON without the thoughts before it or the fence around it."""
    text = _THOUGHT.sub("", text).strip()
    fenced = _FENCED.match(text)
    return fenced.group(1) if fenced else text


def _tokens(reported: int | None, text: str) -> int:
    return reported if reported is not None and reported >= 0 else -(-len(text) // SIGNS_PER_TOKEN)
