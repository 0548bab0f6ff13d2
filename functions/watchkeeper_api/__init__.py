"""The HTTP API: one ASGI application, which the local runtime, AWS Lambda and Azure Functions all serve."""

from watchkeeper_api.app import create_app
from watchkeeper_api.backend import Backend, Client, Limits, key_digest

__all__ = ["Backend", "Client", "Limits", "create_app", "key_digest"]
