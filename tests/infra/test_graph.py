"""The whole program, run over gRPC: what must hold of every stack holds, and each check finds a planted fault."""

import copy
import json

import pytest

from tests.infra.checks import CHECKS
from tests.infra.graph import Graph
from tests.infra.scenarios import BUILT, PLANTS

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
    ("name", "said"), [("policy-action", "UNKNOWN_ACTION"), ("policy-resource", "RESOURCE_MISMATCH")]
)
def test_a_planted_wrong_iam_document_is_found(answer, name, said):
    (found,) = answer["lint"][name]
    assert said in found


def test_every_plant_is_asked_for(answer):
    assert {plant["name"] for plant in PLANTS} <= set(answer["strict"])


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
        assert ("WATCHKEEPER_ALERT_TOPICS" in variables) == (name in {"notify", "watch"})
        assert ("WATCHKEEPER_MODEL_SECRET" in variables) == (name == "rag_explain")
        assert ("WATCHKEEPER_MAPPINGS" in variables) == (name == "budget_cutoff")
    (asked,) = (r["environment"]["variables"] for r in graphs["bedrock"].of("Function") if "rag_explain" in r.name)
    assert asked["WATCHKEEPER_MODEL_URL"] == "https://bedrock-runtime.eu-central-1.amazonaws.com/openai/v1"
    assert len(json.loads(told["budget_cutoff"]["WATCHKEEPER_MAPPINGS"])) == 7
    assert set(json.loads(told["notify"]["WATCHKEEPER_ALERT_TOPICS"])) == {"info", "warning", "critical", "emergency"}


# --- planted faults -------------------------------------------------------------------------------------------------


def fits(made, kind, ending):
    return made.get("custom") and made["type"].endswith((f":{kind}", f"/{kind}")) and made["name"].endswith(ending)


def change(kind, ending, /, **inputs):
    """Other inputs of one resource; None takes one away."""

    def plant(made):
        found = [r for r in made["resources"] if fits(r, kind, ending)]
        for key, value in inputs.items():
            if value is None:
                found[0]["object"].pop(key)
            else:
                found[0]["object"][key] = value

    return plant


def drop(kind, name):
    """One resource is not there."""

    def plant(made):
        found = next(r for r in made["resources"] if fits(r, kind, name))
        made["resources"].remove(found)

    return plant


def register(name, **registration):
    """One resource was registered in another way."""

    def plant(made):
        next(r for r in made["resources"] if f"::{r['name']}" in r["urn"] and r["urn"].endswith(name)).update(
            registration
        )

    return plant


def allowing(role, action, resource, sid="Planted"):
    """A role has one right more."""

    def plant(made):
        policy = next(
            r for r in made["resources"] if r["type"].endswith("RolePolicy") and r["name"].endswith(f"-{role}")
        )
        document = json.loads(policy["object"]["policy"])
        document["Statement"].append({"Sid": sid, "Effect": "Allow", "Action": [action], "Resource": resource})
        policy["object"]["policy"] = json.dumps(document)

    return plant


ROLE = "arn:aws:iam::123456789012:role/watchkeeper-aws-dev"
DOCUMENT = {"Version": "2012-10-17", "Statement": []}
MAPPING = "clean-iot-data-ingestion"
FAULTS = [
    ("a_role_of_its_own", change("Function", "-clean", role=f"{ROLE}-store")),
    ("a_role_of_its_own", drop("RolePolicy", "-clean")),
    (
        "one_service_takes_a_role",
        change("Role", "-clean", assumeRolePolicy='{"Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}}]}'),
    ),
    (
        "everything_stored_is_encrypted_by_a_key_of_ours",
        change("Table", "-alerts", serverSideEncryption={"enabled": True}),
    ),
    ("everything_stored_is_encrypted_by_a_key_of_ours", drop("BucketServerSideEncryptionConfiguration", "-lake")),
    ("everything_stored_is_encrypted_by_a_key_of_ours", change("LogGroup", "-store", kmsKeyId=None)),
    ("everything_stored_is_encrypted_by_a_key_of_ours", change("Topic", "alerts-info", kmsMasterKeyId="alias/aws/sns")),
    ("everything_stored_is_encrypted_by_a_key_of_ours", change("Cluster", "-stream", encryptionInfo={})),
    ("every_log_ends", change("LogGroup", "-clean", retentionInDays=None)),
    ("every_log_ends", drop("LogGroup", "-clean")),
    ("triggers_are_those_of_the_table", drop("EventSourceMapping", MAPPING)),
    ("triggers_are_those_of_the_table", change("EventSourceMapping", MAPPING, topics=["device-telemetry"])),
    ("triggers_are_those_of_the_table", drop("Schedule", "-notify-timer")),
    ("triggers_are_those_of_the_table", change("Schedule", "-retrain-timer", scheduleExpression="rate(1 minute)")),
    ("every_endpoint_of_the_application_has_a_route", drop("Route", "ANY /ingest/{proxy+}")),
    ("every_endpoint_of_the_application_has_a_route", change("Route", "/api/{proxy+}", authorizationType="NONE")),
    ("every_endpoint_of_the_application_has_a_route", change("Stage", "-http", defaultRouteSettings={})),
    ("topics_are_those_of_the_pipeline", drop("topic:Topic", "-dead-letter")),
    ("topics_are_those_of_the_pipeline", change("topic:Topic", "-rule-check-output", partitionCount=3)),
    ("topics_are_those_of_the_pipeline", change("topic:Topic", "-rule-check-output", replicationFactor=1)),
    ("topics_are_those_of_the_pipeline", change("topic:Topic", "-dead-letter", configs='{"retention.ms": "1"}')),
    ("tables_are_those_of_the_pipeline", drop("Table", "-episodes")),
    ("tables_are_those_of_the_pipeline", change("Table", "-episodes", pointInTimeRecovery={"enabled": False})),
    ("tables_are_those_of_the_pipeline", change("Table", "-episodes", ttl=None)),
    ("no_name_comes_twice", change("Table", "-episodes", name="watchkeeper-aws-dev-alerts")),
    ("wildcards_have_a_reason", allowing("clean", "s3:GetObject", "*")),
    ("wildcards_have_a_reason", allowing("clean", "s3:*", "arn:aws:s3:::x")),
    (
        "a_function_may_do_what_its_row_says_and_no_more",
        allowing("store", "dynamodb:PutItem", "arn:aws:dynamodb:eu-central-1:1:table/watchkeeper-aws-dev-alerts"),
    ),
    (
        "a_function_may_do_what_its_row_says_and_no_more",
        allowing("store", "kafka-cluster:WriteData", "arn:aws:kafka:eu-central-1:1:topic/c/u/dashboard-alerts"),
    ),
    (
        "a_function_may_do_what_its_row_says_and_no_more",
        allowing("store", "s3:PutObject", "arn:aws:s3:::x/state/clean/*"),
    ),
    ("only_who_publishes_may_replace_what_is_published", allowing("store", "s3:PutObject", "arn:aws:s3:::x/models/*")),
    ("what_holds_data_is_protected", register("Table::watchkeeper-aws-dev-alerts", protect=False)),
    ("buckets_are_private", drop("BucketPublicAccessBlock", "-lake")),
    ("buckets_are_private", change("BucketPublicAccessBlock", "-lake", blockPublicAcls=False)),
    ("buckets_are_private", change("BucketPolicy", "-lake", policy=json.dumps(DOCUMENT))),
    ("buckets_are_private", drop("BucketLifecycleConfiguration", "-code")),
    ("everything_is_tagged", change("Function", "-clean", tags={"project": "watchkeeper", "stage": "x"})),
    ("mappings_are_as_the_platform_wants_them", change("EventSourceMapping", MAPPING, provisionedPollerConfig={})),
    ("mappings_are_as_the_platform_wants_them", change("EventSourceMapping", MAPPING, functionResponseTypes=[])),
    ("mappings_are_as_the_platform_wants_them", change("EventSourceMapping", MAPPING, maximumRetryAttempts=-1)),
    ("mappings_are_as_the_platform_wants_them", change("EventSourceMapping", MAPPING, maximumRecordAgeInSeconds=10**7)),
    ("mappings_are_as_the_platform_wants_them", change("EventSourceMapping", MAPPING, destinationConfig={})),
    (
        "mappings_are_as_the_platform_wants_them",
        change(
            "EventSourceMapping",
            MAPPING,
            amazonManagedKafkaEventSourceConfig={"consumerGroupId": "clean.batch-data-ingestion"},
        ),
    ),
    ("mappings_are_as_the_platform_wants_them", register(f"Mapping::watchkeeper-aws-dev-{MAPPING}", ignoreChanges=[])),
    ("callers_call_the_alias", change("EventSourceMapping", MAPPING, functionName="arn:aws:lambda:x:1:function:clean")),
    ("callers_call_the_alias", change("Permission", "-files", qualifier=None)),
    ("functions_are_built_for_their_machine", change("Function", "-clean", architectures=["x86_64"])),
    ("functions_are_built_for_their_machine", change("Function", "-clean", publish=False)),
    ("consumers_are_upgraded_before_producers", register("Alias::watchkeeper-aws-dev-clean", dependencies=[])),
    (
        "a_device_speaks_for_itself_only",
        change(
            "Policy",
            "-device",
            policy=json.dumps(
                {"Statement": [{"Action": "iot:Publish", "Resource": "arn:aws:iot:x:1:topic/devices/*"}]}
            ),
        ),
    ),
    ("a_device_speaks_for_itself_only", change("TopicRule", "-telemetry", errorAction={})),
    ("secrets_are_marked", change("SecretVersion", "-kafka", secretString='{"password": "x"}')),
    ("people_hear_of_what_is_wrong", drop("MetricAlarm", "-clean-errors")),
    ("people_hear_of_what_is_wrong", drop("MetricAlarm", "-clean-iot-data-ingestion-lag")),
    ("people_hear_of_what_is_wrong", drop("MetricAlarm", "-hub-failures")),
    ("people_hear_of_what_is_wrong", change("MetricAlarm", "-clean-errors", alarmActions=[])),
    ("people_hear_of_what_is_wrong", change("MetricAlarm", "-canary-silent", treatMissingData="notBreaching")),
    ("two_budgets_stand_behind_the_meter", drop("TopicSubscription", "-cutoff")),
    ("a_cutoff_spares_those_who_tell_people", allowing("budget_cutoff", "lambda:UpdateEventSourceMapping", "arn:x")),
    ("a_cutoff_spares_those_who_tell_people", allowing("clean", "lambda:UpdateEventSourceMapping", "arn:x")),
    (
        "nobody_reaches_in_from_outside",
        change("SecurityGroupIngressRule", "-9098", referencedSecurityGroupId=None, cidrIpv4="0.0.0.0/0"),
    ),
    ("nobody_reaches_in_from_outside", change("Subnet", "-private-0", mapPublicIpOnLaunch=True)),
    ("everything_belongs_to_a_component", register("Table::watchkeeper-aws-dev-alerts", urn="urn::t::watchkeeper-x")),
]


@pytest.mark.parametrize(("check", "plant"), FAULTS, ids=[f"{n}-{check}" for n, (check, _) in enumerate(FAULTS)])
def test_a_planted_fault_is_found(graphs, check, plant):
    small = graphs["small"].made
    made = small | {"resources": copy.deepcopy(small["resources"])}
    plant(made)
    assert CHECKS[check](Graph(made)) != []


def test_a_budget_that_is_missing_and_a_secret_in_plain_text_are_found(graphs):
    large = graphs["large"].made
    made = large | {"resources": copy.deepcopy(large["resources"])}
    drop("Budget", "-budget-actual")(made)
    assert CHECKS["two_budgets_stand_behind_the_meter"](Graph(made))
    change("Function", "-notify", description="sk-very-secret")(made)
    assert CHECKS["secrets_are_marked"](Graph(made)) == ["sk-very-secret is in plain text"]


def test_every_check_finds_something():
    assert {check for check, _ in FAULTS} == set(CHECKS)
