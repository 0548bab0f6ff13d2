"""The whole program for Azure, run over gRPC: what must hold of every stack holds."""

import json
import re

import pytest

from tests.docs.pages import PAGES
from tests.infra.checks import AZURE_CHECKS
from tests.infra.scenarios import AZURE_BUILT
from watchkeeper.topology import TOPICS
from watchkeeper_infra.azure_roles import only_below
from watchkeeper_infra.words import HUB_OF_LISTENERS

pytestmark = pytest.mark.timeout(300)  # the first one waits for the whole program

UNPROTECTED = {"azure-open": {"what_holds_data_is_protected_and_locked"}}  # it is the stack that may be destroyed


@pytest.mark.parametrize("name", AZURE_BUILT)
@pytest.mark.parametrize("check", AZURE_CHECKS)
def test_it_holds_of_every_stack(azure_graphs, name, check):
    assert azure_graphs[name].made["error"] == ""
    faults = AZURE_CHECKS[check](azure_graphs[name])
    if check in UNPROTECTED.get(name, ()):
        assert faults
    else:
        assert faults == []


@pytest.mark.parametrize("name", [*AZURE_BUILT, "azure-preview"])
def test_every_input_is_one_that_the_sdk_knows(azure_answer, name):
    assert azure_answer["strict"][name] == []
    assert azure_answer["graphs"][name]["error"] == ""
    assert azure_answer["graphs"][name]["logs"] == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unknown", "unknown property 'allowSharedKeys'"),
        ("nested", "functionAppConfig.runtime: unknown property 'versions'"),
        ("missing", "missing required 'namespaceName'"),
        ("type", "partitionCount: 'many' is not of"),
        ("enumeration", "minimumTlsVersion: '1.9' is none of"),
        ("list", "tags: a map is wanted, not ['x']"),
        ("untagged", "takes tags, and has none"),
    ],
)
def test_a_planted_wrong_input_is_found(azure_answer, name, said):
    (found,) = azure_answer["strict"][f"azure-{name}"]
    assert said in found


def test_our_own_providers_can_be_taken_apart_and_act_when_something_has_changed(azure_answer):
    still, changed = [False, []], [True, []]
    release = {"": still, "app": [True, ["app"]], "container": [True, ["container"]], "digest": changed}
    upload = {"": still, "site": [True, ["site"]], "digest": changed, "folder": still, "token": still}
    enrolment = {"": still, "service": [True, ["service"]], "group": [True, ["group"]], "authority": changed}
    found = azure_answer["dynamic"]["azure-large"]
    assert sorted(found, key=str) == sorted([release | {"newest": still, "path": still}, upload, enrolment], key=str)
    assert len(azure_answer["dynamic"]["azure-small"]) == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("azure-unbuilt", "run `make bundles`"),
        ("azure-no-authority", "watchkeeper:deviceCa: 'README.md' is not allowed; a PEM file with one certificate"),
    ],
)
def test_a_wrong_configuration_fails_before_any_resource(azure_graphs, name, said):
    assert said in azure_graphs[name].made["error"]
    assert [resource.type for resource in azure_graphs[name].resources] == ["pulumi:pulumi:Stack"]
    assert azure_graphs[name].made["invoked"] == []


@pytest.mark.parametrize("name", AZURE_BUILT)
def test_a_person_is_told_where_everything_is_and_how_to_try_it(azure_graphs, name):
    outputs = azure_graphs[name].stack_outputs
    assert (
        outputs["apiUrl"]
        == f"https://wk-{azure_graphs[name].made['stack']}-api-{azure_graphs[name].digest}.azurewebsites.net"
    )
    assert outputs["socketUrl"].endswith(".webpubsub.azure.com")
    assert outputs["dashboardUrl"] == "https://calm-sea-1.azurestaticapps.net"
    assert outputs["iotHub"] in outputs["tryCommands"]["publish"]
    assert outputs["apiUrl"] in outputs["tryCommands"]["post"]
    assert outputs["topics"] == list(TOPICS)
    assert all(isinstance(command, str) for command in outputs["tryCommands"].values())
    texts = {page.name: page.read_text("utf-8") for page in PAGES}
    pages = [texts["azure-infrastructure.md"], texts["README.md"].partition("## On Azure")[2]]
    asked = {name for page in pages for name in re.findall(r"pulumi stack output (\w+)", page)}
    assert asked - set(outputs) == set()


def test_what_is_configured_arrives(azure_graphs):
    large, small = azure_graphs["azure-large"], azure_graphs["azure-small"]
    clean = large.one("WebApp", "watchkeeper-azure-prod-clean")["functionAppConfig"]["scaleAndConcurrency"]
    assert clean["instanceMemoryMB"] == 4096
    assert [each["name"] for each in clean["alwaysReady"]] == [
        "function:clean_iot_data_ingestion",
        "function:clean_batch_data_ingestion",
    ]
    api = large.one("WebApp", "watchkeeper-azure-prod-api")["functionAppConfig"]["scaleAndConcurrency"]
    assert api["alwaysReady"] == [{"name": "http", "instanceCount": 2}]
    released = {r.name.rpartition("-")[2]: r for r in large.releases}
    assert released["clean"]["digest"] == "a" * 64 != released["clean"]["newest"]
    assert released["store"]["digest"] == released["store"]["newest"]
    assert large.one("eventhub:Namespace")["isAutoInflateEnabled"] is False
    assert small.one("eventhub:Namespace")["maximumThroughputUnits"] == 4
    assert large.settings["clean"]["AzureFunctionsJobHost__extensions__eventHubs__maxWaitTime"] == "00:01:30"
    assert large.settings["ingest"]["AzureFunctionsJobHost__extensions__eventHubs__maxEventBatchSize"] == "1000"
    for told in large.settings.values():
        sizes = {name.rpartition("__")[2]: value for name, value in told.items() if "__eventHubs__" in name}
        assert not sizes or int(sizes["prefetchCount"]) == 2 * int(sizes["maxEventBatchSize"])
    assert large.one("cosmosdb:SqlResourceSqlDatabase")["options"] == {"autoscaleSettings": {"maxThroughput": 4000}}
    (mailed,) = [g["emailReceivers"] for g in large.of("ActionGroup") if g.name.endswith("operations")]
    assert [each["emailAddress"] for each in mailed] == ["ops@example.com"]
    levels = {r["ruleName"].removeprefix(large.prefix): r["severity"] for r in large.of("MetricAlert")}
    assert (levels["hub-dropped"], levels["clean-iot-data-ingestion-stalled"], levels["dead-letters"]) == (1, 1, 2)
    assert large.one("iothub:IotHubResource")["sku"] == {"name": "S3", "capacity": 1}
    assert large.one("storage:StorageAccount", "watchkeeper-azure-prod-lake")["sku"] == {"name": "Standard_ZRS"}


def test_an_app_is_told_what_it_must_know(azure_graphs):
    for name, told in azure_graphs["azure-large"].settings.items():
        assert told["WATCHKEEPER_STACK"] == "azure-prod"
        assert told["WATCHKEEPER_EVENT_HUBS"].endswith(".servicebus.windows.net")
        assert ("WATCHKEEPER_RECEIVERS_SECRET" in told) == (name == "notify")
        assert ("WATCHKEEPER_MODEL_API_VERSION" in told) == (name == "rag_explain")
        assert ("WATCHKEEPER_ISSUER" in told) == (name == "api")
        assert ("WATCHKEEPER_WEB_PUBSUB" in told) == (name in {"api", "notify"})
        assert ("WATCHKEEPER_KEY_VAULT" in told) == (name in {"notify", "rag_explain"})
    of_tenant = azure_graphs["azure-small"].settings["api"]["WATCHKEEPER_ISSUER"]
    assert re.fullmatch(r"https://login\.microsoftonline\.com/[0-9a-f-]{36}/v2\.0", of_tenant)
    keyless = azure_graphs["azure-keyless"].settings["rag_explain"]
    assert keyless["WATCHKEEPER_MODEL_LOGIN"] == "identity"
    assert "WATCHKEEPER_KEY_VAULT" not in keyless
    assert azure_graphs["azure-open"].settings["rag_explain"]["WATCHKEEPER_MODEL_URL"] == "https://api.openai.com/v1"


def test_what_an_app_is_told_is_what_its_code_reads(azure_graphs):
    settings = pytest.importorskip(
        "watchkeeper_azure.settings", reason="the functions' own code is not in this checkout"
    )
    read = {f"WATCHKEEPER_{name.upper()}" for name in settings.Settings.__struct_fields__}
    told = {name for graph in azure_graphs.values() if graph.of("WebApp")
            for each in graph.settings.values() for name in each}  # fmt: skip
    assert {name for name in told if name.startswith("WATCHKEEPER_")} - read == set()


def test_the_hub_of_listeners_is_called_as_the_functions_call_it():
    names = pytest.importorskip("watchkeeper_azure.names", reason="the functions' own code is not in this checkout")
    assert names.HUB_OF_LISTENERS == HUB_OF_LISTENERS


def test_the_budget_that_looks_ahead_is_known_by_its_name(azure_graphs):
    names = pytest.importorskip("watchkeeper_azure.names", reason="the functions' own code is not in this checkout")
    for budget in azure_graphs["azure-large"].of("consumption:Budget"):
        kinds = {told["thresholdType"] for told in budget["notifications"].values()}
        assert budget["budgetName"].endswith(names.FORECASTED) == (kinds == {"Forecasted"})


def test_a_condition_lets_names_be_listed_and_holds_everything_else_to_its_paths():
    text = only_below(["state/clean/", "dead-letters/"])
    assert text.count("(") == text.count(")")
    assert "SubOperationMatches{'Blob.List'}" in text
    for action in ("read", "write", "add/action", "delete", "move/action"):
        assert f"!(ActionMatches{{'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/{action}'}}" in text
    assert text.endswith("blobs:path] StringStartsWith 'dead-letters/'))")


def test_the_workbook_is_a_document_with_a_chart_of_the_hubs(azure_graphs):
    (workbook,) = azure_graphs["azure-small"].of("Workbook")
    items = json.loads(workbook["serializedData"])["items"]
    assert [item["name"] for item in items][-1] == "Hubs"
    assert all("AppRoleName" in item["content"]["query"] for item in items[:-1])
