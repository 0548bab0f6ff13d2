"""The application, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from watchkeeper import __version__
from watchkeeper_api import (
    alert_routes,
    anomaly_routes,
    bundle_routes,
    device_routes,
    ingest_routes,
    listen_routes,
    model_routes,
    rule_routes,
    service_routes,
    status_routes,
)
from watchkeeper_api.backend import Backend
from watchkeeper_api.call import Services
from watchkeeper_api.openapi import document
from watchkeeper_api.refusals import HANDLERS

ABOUT = "Telemetry in, anomalies and alerts out. Times are epoch milliseconds, UTC. Errors all have one shape."


class _Application(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if not self.openapi_schema:
            self.openapi_schema = document(self)
        return self.openapi_schema


class _WithHeaders:
    """Adds to an answer what was found out about its request before anybody answered it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            more = scope.get("state", {}).get("headers") if message["type"] == "http.response.start" else None
            if more:
                message["headers"] = [
                    *message["headers"],
                    *((name.lower().encode(), value.encode()) for name, value in more.items()),
                ]
            await send(message)

        await self._app(scope, receive, with_headers)


def create_app(backend: Backend) -> FastAPI:
    """The ASGI application over a backend.

    Its lifespan, where the server runs one, commits what waits before it ends. There are no pages of documentation:
    FastAPI's load their scripts from elsewhere.
    """
    services = Services(backend)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(services.intake.close)

    app = _Application(
        title="Watchkeeper",
        version=__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        exception_handlers=HANDLERS,
        generate_unique_id_function=_operation_id,
    )
    app.state.services = services
    app.add_middleware(_WithHeaders)
    for module in (
        ingest_routes,
        service_routes,
        device_routes,
        anomaly_routes,
        alert_routes,
        listen_routes,
        rule_routes,
        bundle_routes,
        model_routes,
        status_routes,
    ):
        app.include_router(module.router)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
