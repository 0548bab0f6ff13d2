import msgspec
import pytest

from watchkeeper_api import schemas
from watchkeeper_api.knowledge_schemas import KNOWLEDGE_MODELS

OPERATIONS = {
    ("post", "/ingest/realtime"): "IngestAnswer",
    ("post", "/ingest/batch"): "IngestAnswer",
    ("post", "/ingest/csv"): "IngestAnswer",
    ("post", "/ingest/upload"): "IngestAnswer",
    ("post", "/ingest/prometheus"): "IngestAnswer",
    ("post", "/ingest/prometheus/metrics/{grouping}"): "IngestAnswer",
    ("put", "/ingest/prometheus/metrics/{grouping}"): "IngestAnswer",
    ("post", "/v1/metrics"): "OTLP",
    ("get", "/health"): "Health",
    ("get", "/api/devices"): "DeviceList",
    ("get", "/api/devices/{device}"): "DeviceDetail",
    ("get", "/api/devices/{device}/quality"): "Quality",
    ("get", "/api/devices/{device}/forecast"): "Forecast",
    ("get", "/api/devices/{device}/calibration"): "Calibration",
    ("get", "/api/devices/{device}/series"): "Series",
    ("get", "/api/anomalies"): "AnomalyList",
    ("post", "/api/anomalies/{anomaly}/review"): "Review",
    ("get", "/api/alerts"): "AlertList",
    ("post", "/api/alerts/{alert}/acknowledge"): "Acknowledgement",
    ("get", "/api/listen"): "Invitation",
    ("get", "/api/rules"): "RuleList",
    ("post", "/api/rules/validate"): "Validation",
    ("post", "/api/rules/try"): "TrialAnswer",
    ("get", "/api/bundles"): "BundleList",
    ("post", "/api/bundles"): "BundleMoved",
    ("post", "/api/bundles/rollback"): "BundleMoved",
    ("get", "/api/bundles/{version}"): "BundleView",
    ("get", "/api/bundles/{version}/diff"): "BundleDiff",
    ("get", "/api/models"): "ModelList",
    ("get", "/api/status"): "Status",
    ("get", "/api/pipeline"): "PipelineView",
    ("get", "/metrics"): None,
}


@pytest.fixture
def document(api):
    answer = api.get("/openapi.json")
    assert answer.status_code == 200
    return answer.json()


def operations(document):
    return {(method, path): body for path, item in document["paths"].items() for method, body in item.items()}


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def test_the_document_holds_every_operation_and_no_other(document):
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "Watchkeeper"
    assert set(operations(document)) == set(OPERATIONS)


def test_every_operation_says_what_it_answers(document):
    for key, operation in operations(document).items():
        (success,) = (answer for status, answer in operation["responses"].items() if status.startswith("2"))
        ((media_type, content),) = success["content"].items()
        name = OPERATIONS[key]
        if name == "OTLP":
            assert media_type == "application/x-protobuf"
            continue
        wanted = {"$ref": f"#/components/schemas/{name}"} if name else {"type": "string"}
        assert (media_type, content["schema"]) == ("application/json" if name else "text/plain", wanted), key
        assert operation["operationId"]
        assert operation["summary"]
        assert operation["description"]


def test_every_error_has_the_one_shape_and_none_is_a_422(document):
    for key, operation in operations(document).items():
        errors = {status: answer for status, answer in operation["responses"].items() if not status.startswith("2")}
        assert "503" in errors, key
        assert "422" not in errors, key
        assert ("401" in errors) == ("429" in errors) == (key != ("get", "/health"))
        for answer in errors.values():
            assert answer["content"] == {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}}


def test_every_reference_leads_somewhere_and_nothing_is_left_over(document):
    defined = document["components"]["schemas"]
    used = {reference.removeprefix("#/components/schemas/") for reference in references(document)}
    assert used == set(defined)


def test_posts_say_what_they_take_and_gets_which_parameters(document):
    for (method, path), operation in operations(document).items():
        assert ("requestBody" in operation) == (method in {"post", "put"}), path
        for parameter in operation.get("parameters", []):
            assert parameter["in"] in {"query", "path", "header"}
            assert parameter["schema"]
    series = document["paths"]["/api/devices/{device}/series"]["get"]["parameters"]
    assert [parameter["name"] for parameter in series] == ["device", "metric", "from", "to", "points"]


def test_every_operation_but_health_asks_for_a_key(document):
    assert set(document["components"]["securitySchemes"]) == {"APIKeyHeader", "HTTPBearer"}
    for key, operation in operations(document).items():
        assert bool(operation.get("security")) == (key != ("get", "/health")), key


def test_operation_ids_are_unique(document):
    ids = [operation["operationId"] for operation in operations(document).values()]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("path", "model"),
    [(path, name) for (method, path), name in OPERATIONS.items() if method == "get" and name and "{" not in path],
)
def test_answers_are_what_the_document_says(make_api, path, model):
    api = make_api(invite=lambda who: schemas.Invitation(f"wss://listeners/{who.tenant}", "json", 300))
    answer = api.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    models = {each.__name__: each for each in (*schemas.MODELS, *KNOWLEDGE_MODELS)}
    msgspec.json.decode(answer.content, type=models[model])


def test_what_a_reading_may_look_like_is_in_the_document(document):
    reading = document["components"]["schemas"]["ReadingIn"]
    assert reading["required"] == ["device", "values"]
    assert set(reading["properties"]) == {"device", "ts", "values", "tags", "site"}
