"""Each check of the graph finds a fault that is planted."""

import json

import pytest

from tests.infra.checks import CHECKS
from tests.infra.graph import Graph, listed
from tests.infra.planting import change, drop, fits, inside, register

pytestmark = pytest.mark.timeout(300)  # the first one waits for the whole program


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


def _respell(role, respell):
    def plant(made):
        policy = next(r for r in made["resources"] if fits(r, "RolePolicy", f"-{role}"))
        document = json.loads(policy["object"]["policy"])
        respell(document["Statement"])
        policy["object"]["policy"] = json.dumps(document)

    return plant


def denying(role, ending):
    """A role has no right any more to what ends so."""

    def respell(statements):
        for statement in statements:
            kept = [arn for arn in listed(statement["Resource"]) if not arn.endswith(ending)]
            statement["Resource"] = kept or ["arn:aws:s3:::nothing/x"]

    return _respell(role, respell)


def conditioned(role, sid):
    """A role's statement has a condition."""

    def respell(statements):
        (found,) = [s for s in statements if s.get("Sid") == sid]
        found["Condition"] = {"StringLike": {"s3:prefix": "x/*"}}

    return _respell(role, respell)


def unconditional(role, sid):
    """A role's statement holds for everything."""

    def respell(statements):
        (found,) = [s for s in statements if s.get("Sid") == sid]
        del found["Condition"]

    return _respell(role, respell)


def without(role, sid):
    """A role lacks a statement."""

    def respell(statements):
        statements[:] = [s for s in statements if s.get("Sid") != sid]

    return _respell(role, respell)


UPDATE, MAPPINGS = "lambda:UpdateEventSourceMapping", "arn:aws:lambda:eu-central-1:1:event-source-mapping:"
TOLD, NOBODY_WAITS, TOO_LONG = ("environment", "variables"), {"variables": {}}, {"WATCHKEEPER_WAITING_HOURS": "47"}
ROLE = "arn:aws:iam::123456789012:role/watchkeeper-aws-dev"
DOCUMENT = {"Version": "2012-10-17", "Statement": []}
TAKES_OVER = json.dumps({"Resources": {"thing": {"OverrideSettings": {"ThingTypeName": "REPLACE"}}}})
MAPPING = "clean-iot-data-ingestion"
POSTS = "arn:aws:execute-api:eu-central-1:123456789012:x/live/POST/@connections/*"
TELLS = {"WATCHKEEPER_SOCKETS_URL": "https://x.execute-api.eu-central-1.amazonaws.com/live"}
FAULTS = [
    ("only_who_pushes_reaches_listeners", allowing("clean", "execute-api:ManageConnections", POSTS)),
    ("only_who_pushes_reaches_listeners", allowing("api", "execute-api:ManageConnections", f"{POSTS[:-15]}*")),
    ("only_who_pushes_reaches_listeners", change("Function", "-store", environment={"variables": TELLS})),
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
    ("a_tick_is_repeated_only_where_the_next_one_is_far", drop("Schedule", "-retrain-timer")),
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
    ("a_cutoff_stops_what_may_wait_and_nothing_else", unconditional("budget_cutoff", "Stop")),
    ("a_cutoff_stops_what_may_wait_and_nothing_else", allowing("api", UPDATE, f"{MAPPINGS}*")),
    ("a_cutoff_stops_what_may_wait_and_nothing_else", without("budget_cutoff", "Stop")),
    ("a_cutoff_stops_what_may_wait_and_nothing_else", without("budget_cutoff", "NeverStorage")),
    ("a_cutoff_stops_what_may_wait_and_nothing_else", change("Function", "-budget_cutoff", environment=NOBODY_WAITS)),
    ("a_cutoff_stops_what_may_wait_and_nothing_else", inside("Function", "-budget_cutoff", *TOLD, **TOO_LONG)),
    (
        "a_cutoff_stops_what_may_wait_and_nothing_else",
        change("EventSourceMapping", "-rule-check-output", functionName="arn:aws:lambda:x:1:function:other:live"),
    ),
    ("only_who_publishes_may_replace_what_is_published", allowing("store", "s3:PutObject", "arn:aws:s3:::x/models/*")),
    *(
        ("everybody_may_do_what_the_runtime_does_for_every_stage", denying(*right))
        for right in (
            ("notify", "/models/*"),
            ("store", "/bundles/*"),
            ("ingest", "/inbox/*"),
            ("ingest", "/aws/lambda/*"),
            ("clean", "/dead-letters/*"),
            ("store", "-cutoffs"),
            ("store", "-meter"),
        )
    ),
    ("everybody_may_do_what_the_runtime_does_for_every_stage", conditioned("clean", "ListObjects")),
    ("what_is_deployed_is_put_in_force", drop("Invocation", "-publish-knowledge")),
    ("what_is_deployed_is_put_in_force", change("Invocation", "-publish-knowledge", triggers={"code": "old"})),
    ("files_reach_ingest", change("BucketNotification", "-files", lambdaFunctions=[])),
    ("what_holds_data_is_protected", register("Table::watchkeeper-aws-dev-alerts", protect=False)),
    ("how_devices_are_divided_cannot_be_changed_by_mistake", drop("BucketObject", "-layout")),
    (
        "how_devices_are_divided_cannot_be_changed_by_mistake",
        change("BucketObject", "-layout", content='{"shards": 1}'),
    ),
    (
        "how_devices_are_divided_cannot_be_changed_by_mistake",
        register("Topic::watchkeeper-aws-dev-dead-letter", replaceOnChanges=[]),
    ),
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
    (
        "nobody_reaches_in_from_outside",
        change("SecurityGroupIngressRule", "-9098", referencedSecurityGroupId=None, cidrIpv4="0.0.0.0/0"),
    ),
    ("texts_are_ones_that_the_cloud_takes", change("SecurityGroup", "-devices", description="the hub's way")),
    ("texts_are_ones_that_the_cloud_takes", change("UserPoolDomain", "-people", domain="watchkeeper-aws-dev")),
    ("texts_are_ones_that_the_cloud_takes", change("Function", "-clean", name="x" * 65)),
    ("policies_are_within_their_limit", allowing("clean", "s3:GetObject", ["arn:aws:s3:::bucket/x" * 10] * 60)),
    ("a_device_speaks_for_itself_only", change("ProvisioningTemplate", "-device", templateBody=TAKES_OVER)),
    ("nobody_reaches_in_from_outside", change("Subnet", "-private-0", mapPublicIpOnLaunch=True)),
    ("everything_belongs_to_a_component", register("Table::watchkeeper-aws-dev-alerts", urn="urn::t::watchkeeper-x")),
]


@pytest.fixture(scope="module")
def texts(graphs):
    """The registrations as JSON: read anew, they are a copy to spoil, in a tenth of the time that copying takes."""
    return {name: json.dumps(graphs[name].made["resources"]) for name in ("small", "large")}


@pytest.mark.parametrize(("check", "plant"), FAULTS, ids=[f"{n}-{check}" for n, (check, _) in enumerate(FAULTS)])
def test_a_planted_fault_is_found(graphs, texts, check, plant):
    small = graphs["small"].made
    made = small | {"resources": json.loads(texts["small"])}
    plant(made)
    assert CHECKS[check](Graph(made)) != []


def test_faults_of_a_stack_with_everything_are_found(graphs, texts):
    large = graphs["large"].made
    made = large | {"resources": json.loads(texts["large"])}
    drop("Budget", "-budget-actual")(made)
    assert CHECKS["two_budgets_stand_behind_the_meter"](Graph(made))
    change("Function", "-notify", environment={"variables": {}})(made)
    assert len(CHECKS["only_who_pushes_reaches_listeners"](Graph(made))) == 1
    change("Function", "-notify", description="sk-very-secret")(made)
    assert CHECKS["secrets_are_marked"](Graph(made)) == ["sk-very-secret is in plain text"]


def test_every_check_finds_something():
    assert {check for check, _ in FAULTS} == set(CHECKS)
