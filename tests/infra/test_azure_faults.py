"""Each check of the graph on Azure finds a fault that is planted."""

import json

import pytest

from tests.infra.checks import AZURE_CHECKS
from tests.infra.graph import AzureGraph
from tests.infra.planting import change, drop, fits, inside, register

pytestmark = pytest.mark.timeout(300)  # the first one waits for the whole program

WIDE = "/subscriptions/10000000-0000-4000-8000-000000000000"
RECEIVER = "a638d3c7-ab3a-418d-83e6-5f17a39d4fde"


def setting(app, name, value):
    """One setting of an app is another one; None takes it away."""

    def plant(made):
        found = next(r for r in made["resources"] if fits(r, "WebApp", f"-{app}"))
        told = found["object"]["siteConfig"]["appSettings"]
        told[:] = [each for each in told if each["name"] != name]
        if value is not None:
            told.append({"name": name, "value": value})

    return plant


def dynamic(ending, **inputs):
    """Other inputs of what our own providers make."""
    return change("Resource", ending, **inputs)


def shared_identity(made):
    """Two apps are one and the same to all services."""
    apps = [r["object"] for r in made["resources"] if fits(r, "WebApp", "")]
    apps[0]["identity"] = apps[1]["identity"]


FAULTS = [
    ("an_identity_of_its_own", inside("WebApp", "-clean", "identity", userAssignedIdentities=["a", "b"])),
    ("an_identity_of_its_own", shared_identity),
    (
        "an_app_may_do_what_its_row_says_and_no_more",
        change("RoleAssignment", "-store-send-dead-letter", roleDefinitionId=f"/x/{RECEIVER}"),
    ),
    ("an_app_may_do_what_its_row_says_and_no_more", drop("RoleAssignment", "-clean-receive-iot-data-ingestion")),
    (
        "an_app_may_do_what_its_row_says_and_no_more",
        change("SqlResourceSqlRoleAssignment", "-store-rows-cutoffs", roleDefinitionId="/x/0002"),
    ),
    ("an_app_may_do_what_its_row_says_and_no_more", drop("SqlResourceSqlRoleAssignment", "-store-rows-devices")),
    ("no_right_reaches_further", change("RoleAssignment", "-clean-write-blobs", condition=None)),
    ("no_right_reaches_further", change("RoleAssignment", "-clean-say", scope=f"{WIDE}/resourceGroups/x")),
    ("no_right_reaches_further", change("RoleAssignment", "-clean-say", roleDefinitionId="/x/owner")),
    (
        "no_right_reaches_further",
        change("RoleDefinition", "-blob-writer", permissions=[{"actions": ["*"], "dataActions": []}]),
    ),
    ("no_right_reaches_further", change("RoleAssignment", "-clean-host-blobs", scope=f"{WIDE}/providers/x/y/lake")),
    (
        "no_right_reaches_further",
        change("RoleAssignment", "-store-write-blobs", condition="StringStartsWith 'state/clean/'"),
    ),
    (
        "only_who_tells_or_lets_in_reaches_listeners",
        change("RoleAssignment", "-clean-say", roleDefinitionId="/x/12cf5a90-567b-43ae-8102-96cf46c7d9b4"),
    ),
    ("only_who_tells_or_lets_in_reaches_listeners", drop("RoleAssignment", "-notify-push")),
    ("only_who_tells_or_lets_in_reaches_listeners", change("RoleAssignment", "-api-push", scope=f"{WIDE}/x/another")),
    ("only_who_tells_or_lets_in_reaches_listeners", setting("store", "WATCHKEEPER_WEB_PUBSUB", "https://x")),
    ("only_who_tells_or_lets_in_reaches_listeners", setting("notify", "WATCHKEEPER_WEB_PUBSUB", None)),
    (
        "only_who_tells_or_lets_in_reaches_listeners",
        change("WebPubSubHub", "-listeners", properties={"anonymousConnectPolicy": "allow"}),
    ),
    ("only_who_tells_or_lets_in_reaches_listeners", change("WebPubSubHub", "-listeners", hubName="another")),
    (
        "the_model_is_asked_as_oneself_or_by_a_key",
        change("RoleAssignment", "-clean-say", roleDefinitionId="/x/5e0bd9bd-7b93-4f28-af87-19fc36ad61bd"),
    ),
    (
        "only_who_publishes_may_replace_what_is_published",
        change("RoleAssignment", "-store-write-blobs", condition="StringStartsWith 'models/'"),
    ),
    ("no_key_opens_anything", change("StorageAccount", "-lake", allowSharedKeyAccess=True)),
    ("no_key_opens_anything", change("StorageAccount", "-clean", allowBlobPublicAccess=True)),
    ("no_key_opens_anything", change("eventhub:Namespace", "-stream", disableLocalAuth=None)),
    ("no_key_opens_anything", change("DatabaseAccount", "-tables", disableLocalAuth=False)),
    ("no_key_opens_anything", change("WebPubSub", "-listeners", disableLocalAuth=False)),
    ("no_key_opens_anything", inside("IotHubResource", "-hub", "properties", disableDeviceSAS=False)),
    (
        "no_key_opens_anything",
        inside("IotHubResource", "-hub", "properties", authorizationPolicies=[{"keyName": "owner", "rights": "all"}]),
    ),
    ("no_key_opens_anything", inside("Vault", "-secrets", "properties", enablePurgeProtection=False)),
    ("nothing_is_said_in_the_clear", change("WebApp", "-api", httpsOnly=False)),
    ("nothing_is_said_in_the_clear", change("StorageAccount", "-lake", minimumTlsVersion="TLS1_0")),
    ("nothing_is_said_in_the_clear", inside("IotHubResource", "-hub", "properties", minTlsVersion="1.0")),
    ("what_is_private_is_reached_inside_only", change("StorageAccount", "-lake", publicNetworkAccess="Disabled")),
    ("what_is_private_is_reached_inside_only", change("WebApp", "-clean", virtualNetworkSubnetId="subnet")),
    ("secrets_are_marked", dynamic("-dashboard", token="site-token-very-secret")),
    ("apps_are_told_no_secret", setting("clean", "WATCHKEEPER_COSMOS_KEY", "x")),
    ("hubs_are_those_of_the_pipeline", drop("EventHub", "-dead-letter")),
    ("hubs_are_those_of_the_pipeline", change("EventHub", "-rule-check-output", partitionCount=3)),
    (
        "hubs_are_those_of_the_pipeline",
        inside("EventHub", "-dead-letter", "retentionDescription", retentionTimeInHours=1),
    ),
    ("triggers_are_those_of_the_table", drop("ConsumerGroup", "-final-data-storage-store")),
    ("triggers_are_those_of_the_table", setting("clean", "WATCHKEEPER_STAGE", "watch")),
    (
        "files_go_to_ingest",
        inside("SystemTopicEventSubscription", "-files", "destination", resourceId="x/functions/clean"),
    ),
    (
        "files_go_to_ingest",
        inside("SystemTopicEventSubscription", "-files", "filter", subjectBeginsWith="/blobServices"),
    ),
    ("files_go_to_ingest", register("Subscription::watchkeeper-azure-dev-files", dependencies=[])),
    (
        "telemetry_goes_to_our_own_hub",
        inside("IotHubResource", "-hub", "properties", "routing", fallbackRoute={"isEnabled": True}),
    ),
    ("telemetry_goes_to_our_own_hub", register("IotHubResource::watchkeeper-azure-dev-hub", dependencies=[])),
    ("apps_are_as_the_platform_wants_them", setting("clean", "WEBSITE_RUN_FROM_PACKAGE", "1")),
    ("apps_are_as_the_platform_wants_them", setting("clean", "AzureWebJobsStorage__clientId", None)),
    ("apps_are_as_the_platform_wants_them", setting("clean", "AzureFunctionsWebHost__hostid", "x" * 33)),
    ("apps_are_as_the_platform_wants_them", change("AppServicePlan", "-clean", sku={"name": "Y1"})),
    (
        "apps_are_as_the_platform_wants_them",
        inside("WebApp", "-clean", "functionAppConfig", runtime={"name": "python", "version": "3.9"}),
    ),
    ("every_app_runs_a_package", drop("Resource", "-clean")),
    ("every_app_runs_a_package", dynamic("-clean", container="https://elsewhere/packages")),
    (
        "consumers_are_upgraded_before_producers",
        register("dynamic:Resource::watchkeeper-azure-dev-clean", dependencies=[]),
    ),
    (
        "the_dashboard_may_call_the_api_and_nobody_else",
        inside("WebApp", "-clean", "siteConfig", cors={"allowedOrigins": ["*"]}),
    ),
    ("every_log_ends", change("operationalinsights:Workspace", "-logs", retentionInDays=None)),
    ("every_log_ends", setting("clean", "APPLICATIONINSIGHTS_CONNECTION_STRING", None)),
    ("tables_are_those_of_the_pipeline", drop("SqlResourceSqlContainer", "-episodes")),
    ("tables_are_those_of_the_pipeline", inside("SqlResourceSqlContainer", "-episodes", "resource", defaultTtl=None)),
    (
        "tables_are_those_of_the_pipeline",
        change("DatabaseAccount", "-tables", backupPolicy={"type": "Periodic", "continuousModeProperties": {}}),
    ),
    ("tables_are_those_of_the_pipeline", change("DatabaseAccount", "-tables", capabilities=[])),
    ("what_holds_data_is_protected_and_locked", register("EventHub::watchkeeper-azure-dev-dead-letter", protect=False)),
    ("what_holds_data_is_protected_and_locked", drop("ManagementLockByScope", "-lake")),
    ("what_holds_data_is_protected_and_locked", change("ManagementLockByScope", "-lake", level="ReadOnly")),
    ("how_devices_are_divided_cannot_be_changed_by_mistake", drop("keyvault:Secret", "-layout")),
    (
        "how_devices_are_divided_cannot_be_changed_by_mistake",
        register("EventHub::watchkeeper-azure-dev-dead-letter", replaceOnChanges=[]),
    ),
    ("what_is_old_goes_or_cools", change("ManagementPolicy", "-lake", policy={"rules": []})),
    ("everything_is_tagged", change("WebApp", "-clean", tags={"project": "watchkeeper", "stage": "x"})),
    ("names_are_ones_that_azure_takes", change("StorageAccount", "-clean", accountName="wk_clean")),
    ("names_are_ones_that_azure_takes", change("WebApp", "-clean", name="wk-rule_check")),
    ("names_are_ones_that_azure_takes", change("StorageAccount", "-clean", accountName="x" * 25)),
    (
        "everything_belongs_to_a_component",
        register("Vault::watchkeeper-azure-dev-secrets", urn="urn::t::watchkeeper-x"),
    ),
    ("people_hear_of_what_is_wrong", drop("ScheduledQueryRule", "-clean-errors")),
    ("people_hear_of_what_is_wrong", drop("MetricAlert", "-clean-iot-data-ingestion-stalled")),
    ("people_hear_of_what_is_wrong", change("MetricAlert", "-dead-letters", actions=[])),
    ("people_hear_of_what_is_wrong", change("MetricAlert", "-hub-dropped", severity=2)),
    ("alerts_about_devices_reach_who_is_named_for_their_severity", drop("ActionGroup", "-alerts-info")),
    (
        "alerts_about_devices_reach_who_is_named_for_their_severity",
        change("ActionGroup", "-alerts-info", emailReceivers=[{"emailAddress": "somebody@example.com"}]),
    ),
]


@pytest.fixture(scope="module")
def texts(azure_graphs):
    """The registrations as JSON: read anew, they are a copy to spoil."""
    return {
        name: json.dumps(azure_graphs[name].made["resources"])
        for name in ("azure-small", "azure-large", "azure-keyless")
    }


@pytest.mark.parametrize(("check", "plant"), FAULTS, ids=[f"{n}-{check}" for n, (check, _) in enumerate(FAULTS)])
def test_a_planted_fault_is_found(azure_graphs, texts, check, plant):
    made = azure_graphs["azure-small"].made | {"resources": json.loads(texts["azure-small"])}
    plant(made)
    assert AZURE_CHECKS[check](AzureGraph(made)) != []


IN_LARGE = [
    ("two_budgets_stand_behind_the_meter", drop("Budget", "-budget-actual")),
    ("two_budgets_stand_behind_the_meter", register("Budget::watchkeeper-azure-prod-budget-actual", ignoreChanges=[])),
    ("two_budgets_stand_behind_the_meter", change("ActionGroup", "-alerts-bill", azureFunctionReceivers=[])),
    ("secrets_are_marked", change("WebApp", "-notify", kind="s1gn-with-this")),
    ("what_is_private_is_reached_inside_only", drop("PrivateEndpoint", "-endpoint-lake")),
    ("what_is_private_is_reached_inside_only", drop("PrivateEndpoint", "-endpoint-listeners")),
    ("what_is_private_is_reached_inside_only", change("webpubsub:WebPubSub", "-listeners", networkACLs=None)),
    ("only_who_tells_or_lets_in_reaches_listeners", change("webpubsub:WebPubSub", "-listeners", sku={"name": "x"})),
    ("people_hear_of_what_is_wrong", drop("WebTest", "-canary")),
    ("alerts_about_devices_reach_who_is_named_for_their_severity", drop("ScheduledQueryRule", "-alerts-critical")),
    (
        "alerts_about_devices_reach_who_is_named_for_their_severity",
        change("ScheduledQueryRule", "-alerts-critical", actions={"actionGroups": ["x/alerts-info"]}),
    ),
    (
        "alerts_about_devices_reach_who_is_named_for_their_severity",
        inside("ScheduledQueryRule", "-alerts-critical", "criteria", "allOf", 0, dimensions=[]),
    ),
    (
        "alerts_about_devices_reach_who_is_named_for_their_severity",
        inside("ScheduledQueryRule", "-alerts-critical", "criteria", "allOf", 0, query="AppTraces"),
    ),
]


@pytest.mark.parametrize(("check", "plant"), IN_LARGE, ids=[f"{n}-{check}" for n, (check, _) in enumerate(IN_LARGE)])
def test_a_fault_planted_in_a_large_stack_is_found(azure_graphs, texts, check, plant):
    made = azure_graphs["azure-large"].made | {"resources": json.loads(texts["azure-large"])}
    plant(made)
    assert AZURE_CHECKS[check](AzureGraph(made)) != []


@pytest.mark.parametrize(
    "plant",
    [
        drop("RoleAssignment", "-ask-model"),
        change("RoleAssignment", "-ask-model", scope=f"{WIDE}/resourceGroups/models/providers/x/y/another"),
        setting("rag_explain", "WATCHKEEPER_MODEL_LOGIN", None),
        setting("clean", "WATCHKEEPER_MODEL_SECRET", "model"),
    ],
    ids=["no right", "another account", "not told how", "a key for nobody"],
)
def test_a_fault_in_how_a_model_is_asked_is_found(azure_graphs, texts, plant):
    made = azure_graphs["azure-keyless"].made | {"resources": json.loads(texts["azure-keyless"])}
    plant(made)
    assert AZURE_CHECKS["the_model_is_asked_as_oneself_or_by_a_key"](AzureGraph(made)) != []


def test_every_check_finds_something():
    assert {check for check, _ in (*FAULTS, *IN_LARGE)} == set(AZURE_CHECKS)
