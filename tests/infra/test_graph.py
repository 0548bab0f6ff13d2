"""The whole program, run over gRPC: what must hold of every stack holds, and each check finds a planted fault."""

import json
import re

import pytest

from tests.docs.pages import PAGES
from tests.infra.checks import CHECKS
from tests.infra.scenarios import BUILT, PLANTS

pytestmark = pytest.mark.timeout(300)  # the first one waits for the whole program

UNPROTECTED = {"bedrock": {"what_holds_data_is_protected"}}  # it is the stack that may be destroyed


@pytest.mark.parametrize("name", BUILT)
@pytest.mark.parametrize("check", CHECKS)
def test_it_holds_of_every_stack(graphs, name, check):
    assert graphs[name].made["error"] == ""
    faults = CHECKS[check](graphs[name])
    if check in UNPROTECTED.get(name, ()):
        assert faults
    else:
        assert faults == []


@pytest.mark.parametrize("name", [*BUILT, "small-preview"])
def test_every_input_is_one_that_the_sdk_knows(answer, name):
    assert answer["strict"][name] == []
    assert answer["graphs"][name]["logs"] == []


@pytest.mark.parametrize("name", BUILT)
def test_every_iam_document_is_one_that_a_linter_takes(answer, name):
    assert answer["lint"][name] == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unknown", "unknown property 'pointInTimeRecovry'"),
        ("nested", "vpcConfig: unknown property 'subnets'"),
        ("missing", "missing required 'partitionCount'"),
        ("type", "partitionCount: 'many' is not of"),
        ("list", "topics: a list is wanted, not 'x'"),
        ("untagged", "takes tags, and has none"),
    ],
)
def test_a_planted_wrong_input_is_found(answer, name, said):
    (found,) = answer["strict"][name]
    assert said in found


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("policy-action", "UNKNOWN_ACTION"),
        ("policy-of-a-bucket", "UNKNOWN_ACTION"),
        ("policy-resource", "RESOURCE_MISMATCH"),
    ],
)
def test_a_planted_wrong_iam_document_is_found(answer, name, said):
    (found,) = answer["lint"][name]
    assert said in found


def test_our_own_provider_can_be_taken_apart_and_uploads_when_the_content_is_another(answer):
    assert answer["dynamic"]["small"] == [
        {
            "": [False, []],
            "app_id": [True, ["app_id"]],
            "branch": [True, ["branch"]],
            "digest": [True, []],
            "folder": [False, []],
            "region": [False, []],
        }
    ]
    assert answer["dynamic"]["wrong"] == []


def test_every_plant_is_asked_for(answer):
    assert {plant["name"] for plant in PLANTS if plant["of"] in answer["graphs"]} <= set(answer["strict"])


def test_a_preview_shows_the_same_resources_and_needs_nothing_that_is_not_known_yet(graphs):
    assert graphs["small-preview"].made["error"] == ""
    urns = [{resource.urn for resource in graphs[name].resources} for name in ("small", "small-preview")]
    assert urns[0] == urns[1]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wrong", "watchkeeper:zones: '5' is not allowed; 2 or 3\nwatchkeeper:natt: unknown key (did you mean nat?)"),
        ("unbuilt", "run `make bundles`"),
        ("no-dashboard", "watchkeeper:dashboardFolder: 'docs' is not allowed; a folder with an index.html"),
    ],
)
def test_a_wrong_configuration_fails_before_any_resource(graphs, name, said):
    assert said in graphs[name].made["error"]
    assert [resource.type for resource in graphs[name].resources] == ["pulumi:pulumi:Stack"]
    assert graphs[name].made["invoked"] == []


@pytest.mark.parametrize("name", BUILT)
def test_a_person_is_told_where_everything_is_and_how_to_try_it(graphs, name):
    outputs = graphs[name].stack_outputs
    assert outputs["apiUrl"].startswith("https://")
    assert outputs["socketUrl"].startswith("wss://")
    assert outputs["dashboardUrl"] == "https://live.d1.amplifyapp.com"
    assert outputs["iotEndpoint"] in outputs["tryCommands"]["publish"]
    assert outputs["apiUrl"] in outputs["tryCommands"]["post"]
    assert len(outputs["topics"]) == 9
    assert ("userPool" in outputs) == (name != "large")
    pages = [page.read_text("utf-8").partition("## On Azure")[0] for page in PAGES if "azure" not in page.name]
    asked = {name for page in pages for name in re.findall(r"pulumi stack output (\w+)", page)}
    assert asked - set(outputs) <= {"userPool"}
    assert all(isinstance(command, str) for command in outputs["tryCommands"].values())


def test_what_is_configured_arrives(graphs):
    large = graphs["large"]
    clean = large.one("lambda:Function", "watchkeeper-aws-prod-clean")
    assert clean["memorySize"] == 3008
    assert large.one("lambda:Alias", "watchkeeper-aws-prod-clean")["functionVersion"] == "41"
    assert large.one("lambda:Alias", "watchkeeper-aws-prod-store")["functionVersion"] == "7"
    assert clean["environment"]["variables"]["WATCHKEEPER_KAFKA_LOGIN"] == "iam"
    assert len(large.of("NatGateway")) == 3
    assert {s["endpoint"] for s in large.of("TopicSubscription") if s["protocol"] == "email"} == {
        "on-call@example.com",
        "ops@example.com",
    }
    assert large.of("UserPool") == []
    assert [e["vpcEndpointType"] for e in large.of("VpcEndpoint")] == ["Gateway", "Gateway"]
    paid = {e["serviceName"].rpartition(".")[2] for e in graphs["small"].of("VpcEndpoint") if "subnetIds" in e.inputs}
    assert paid == {"secretsmanager", "sns", "lambda"}
    assert graphs["small"].of("NatGateway") == []
    assert any(e["serviceName"].endswith("bedrock-runtime") for e in graphs["bedrock"].of("VpcEndpoint"))


def test_a_function_is_told_what_it_must_know_and_no_secret(graphs):
    told = {name: r["environment"]["variables"] for name, r in graphs["large"].stage_functions.items()}
    for name, variables in told.items():
        assert variables["WATCHKEEPER_STACK"] == "aws-prod"
        assert variables["WATCHKEEPER_TABLE_PREFIX"] == "watchkeeper-aws-prod-"
        assert ("WATCHKEEPER_ALERT_TOPICS" in variables) == (name == "notify")
        assert ("WATCHKEEPER_MODEL_SECRET" in variables) == (name == "rag_explain")
    (asked,) = (r["environment"]["variables"] for r in graphs["bedrock"].of("Function") if "rag_explain" in r.name)
    assert asked["WATCHKEEPER_MODEL_URL"] == "https://bedrock-runtime.eu-central-1.amazonaws.com/openai/v1"
    assert set(json.loads(told["notify"]["WATCHKEEPER_ALERT_TOPICS"])) == {"info", "warning", "critical", "emergency"}


def test_the_authorizer_knows_whose_tokens_to_take_and_is_outside_the_network(graphs):
    for name in BUILT:
        (authorizer,) = (r for r in graphs[name].of("Function") if r.name.endswith("-authorizer"))
        told = authorizer["environment"]["variables"]
        outputs = graphs[name].stack_outputs
        assert (told["WATCHKEEPER_ISSUER"], told["WATCHKEEPER_AUDIENCE"]) == (outputs["issuer"], outputs["audience"])
        assert "vpcConfig" not in authorizer.inputs, "it must reach the issuer"


def test_what_a_function_is_told_is_what_its_code_reads(graphs):
    settings = pytest.importorskip("watchkeeper_aws.settings", reason="the functions' own code is not in this checkout")
    read = {f"WATCHKEEPER_{name.upper()}" for name in settings.Settings.__struct_fields__}
    told = {name for graph in graphs.values() for r in graph.of("Function") for name in r["environment"]["variables"]}
    assert {name for name in told if name.startswith("WATCHKEEPER_")} - read == set()
