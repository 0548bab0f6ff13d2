"""The application, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute

from watchkeeper import __version__
from watchkeeper_api import (
    alert_routes,
    anomaly_routes,
    bundle_routes,
    device_routes,
    ingest_routes,
    rule_routes,
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
    for module in (
        ingest_routes,
        device_routes,
        anomaly_routes,
        alert_routes,
        rule_routes,
        bundle_routes,
        status_routes,
    ):
        app.include_router(module.router)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
