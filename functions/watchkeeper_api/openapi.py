"""The OpenAPI document: FastAPI's, with the schemas that msgspec makes from our records."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from watchkeeper_api.answers import SCHEMA_REF
from watchkeeper_api.knowledge_schemas import KNOWLEDGE_MODELS
from watchkeeper_api.schemas import MODELS


def document(app: FastAPI) -> dict[str, Any]:
    """The document of an application."""
    made: dict[str, Any] = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    for operations in made["paths"].values():
        for operation in operations.values():
            # FastAPI announces its own answer to wrong parameters; ours is a 400 of our own shape.
            operation["responses"].pop("422", None)
    _, schemas = msgspec.json.schema_components((*MODELS, *KNOWLEDGE_MODELS), ref_template=SCHEMA_REF)
    components = made.setdefault("components", {})
    own = {name: schema for name, schema in components.get("schemas", {}).items() if "ValidationError" not in name}
    components["schemas"] = own | schemas
    return made
