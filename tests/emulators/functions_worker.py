"""Microsoft's own worker library, driven as the host of Azure Functions drives it: an app is indexed, then invoked."""

from __future__ import annotations

import asyncio
import base64
import contextvars
import importlib.util
import json
import types
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import azure.functions as func

MISSING = (
    ""
    if importlib.util.find_spec("azure_functions_runtime")
    else "needs azure-functions-runtime, which `make setup` installs beside the rest where it can be had"
)


class Answer(NamedTuple):
    """What an invocation came to: `value` is the body of a response over HTTP; `error` is empty where it went well."""

    value: Any
    error: str
    status: int = 0

    @property
    def fine(self) -> bool:
        return not self.error


_registry: contextvars.ContextVar[Any] = contextvars.ContextVar("registry")


class _Current:
    """The functions of the worker that is at work in this thread."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_registry.get(), name)


class FunctionsWorker:
    """An app's functions, indexed. `metadata` is what the host is told of each, by name."""

    def __init__(self, app: func.FunctionApp | Sequence[Any]) -> None:
        """`app`, or the functions that were indexed already."""
        import azure_functions_runtime
        from azure_functions_runtime import loader
        from azure_functions_runtime.bindings.meta import load_binding_registry
        from azure_functions_runtime.functions import Registry

        load_binding_registry()
        azure_functions_runtime.start_threadpool_executor()
        self._registry = Registry()
        functions = app if isinstance(app, list) else app.get_functions()
        told, _ = loader.process_indexed_function(_protos(), self._registry, functions, "app")
        self.metadata = {each.name: each for each in told}

    def bindings(self, name: str) -> list[dict[str, Any]]:
        """A function's triggers and bindings, as its function.json would have them."""
        return [json.loads(text) for text in self.metadata[name].raw_bindings]

    def invoke(self, name: str, argument: str, value: Any, metadata: Mapping[str, Any] | None = None) -> Answer:
        """Invoke it once with what the host would send."""
        from azure_functions_runtime import native_invocation

        native_invocation._functions = _Current()  # the library has one of its own per process
        _registry.set(self._registry)
        function = self.metadata[name].function_id
        call = native_invocation.invocation_request_native(
            "5d1b0d5e-0000-4000-8000-000000000000", function, [(argument, value)], dict(metadata or {})
        )
        fine, returned, _, error, _ = asyncio.run(call)
        if not fine:
            return Answer(None, error)
        if returned is None or returned.type != "http":
            return Answer(None, "")
        answer = returned.value
        return Answer(bytes(answer["body"].value or b""), "", int(answer["status_code"].value))


def datum(value: Any, kind: str) -> Any:
    """A value as the host sends it."""
    from azure_functions_runtime.bindings.datumdef import Datum

    return Datum(value, kind)


def written(value: Any) -> dict[str, Any]:
    """A value as the host sends it, as JSON; `read` has it back in another process."""
    if value.type == "http":
        parts = {
            name: written(part) if hasattr(part, "type") else _written_all(part) for name, part in value.value.items()
        }
        return {"http": parts}
    if value.type == "collection_bytes":
        return {value.type: [base64.b64encode(body).decode() for body in value.value.bytes]}
    return {value.type: base64.b64encode(value.value).decode() if value.type == "bytes" else value.value}


def _written_all(parts: Mapping[str, Any]) -> dict[str, Any]:
    return {"": {name: written(part) for name, part in parts.items()}}


def read(told: Mapping[str, Any]) -> Any:
    """What `written` has made."""
    ((kind, value),) = told.items()
    if kind == "":
        return {name: read(part) for name, part in value.items()}
    if kind == "http":
        return datum({name: read(part) for name, part in value.items()}, kind)
    if kind == "collection_bytes":
        return event_batch([base64.b64decode(body) for body in value])
    return datum(base64.b64decode(value) if kind == "bytes" else value, kind)


def http_request(method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Any:
    """A request as the host sends it."""
    parts: dict[str, Any] = {"method": datum(method, "string"), "url": datum(url, "string"), "query": {}, "params": {}}
    parts["headers"] = {name: datum(value, "string") for name, value in headers.items()}
    return datum(parts | {"body": datum(body, "bytes")}, "http")


def event_batch(bodies: Sequence[bytes]) -> Any:
    """The bodies of a batch of events, binary."""
    return datum(types.SimpleNamespace(bytes=list(bodies)), "collection_bytes")


def _protos() -> Any:
    class Fields(types.SimpleNamespace):
        pass

    class BindingInfo(Fields):
        inout, out, undefined = 2, 1, 0

    return types.SimpleNamespace(BindingInfo=BindingInfo, RpcFunctionMetadata=Fields, RpcRetryOptions=Fields)
