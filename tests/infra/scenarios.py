"""The stacks that the tests build: what is smallest, what has everything, and what is wrong."""

import dataclasses
import json


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A stack and its configuration, beside what every stack needs."""

    stack: str
    keys: dict
    secret: tuple[str, ...] = ()
    preview: bool = False
    cloud: str = "aws"

    @property
    def secret_values(self):
        return [text for key in self.secret for text in str(self.keys[key]).strip("[]").split("'") if len(text) > 3]


LARGE = {
    "zones": 3,
    "nat": "per-zone",
    "kafkaInstance": "kafka.m7g.large",
    "kafkaBrokers": 3,
    "kafkaLogin": "iam",
    "shards": 64,
    "partitions": 32,
    "alertEmails": {"critical": ["on-call@example.com"], "operations": ["ops@example.com"]},
    "receivers": ["webhook=https://hooks.example.com/T0K3N"],
    "webhookSecret": "s1gn-with-this",
    "model": "openai",
    "modelName": "small",
    "modelKey": "sk-very-secret",
    "issuer": "https://id.example.com",
    "audience": "watchkeeper",
    "budget": 500,
    "memoryMb": {"clean": 3008},
    "versions": {"clean": 41},
}
AZURE_LARGE = {
    "privateEndpoints": True,
    "redundancy": "ZRS",
    "hubSize": "S3",
    "deviceCa": "tests/infra/device_ca.pem",
    "throughputUnits": 10,
    "throughputUnitsAtMost": 10,
    "shards": 64,
    "partitions": 32,
    "batchWaitSeconds": 90,
    "alwaysReady": {"clean": 1, "api": 2},
    "memoryMb": {"clean": 4096},
    "packages": {"clean": "a" * 64},
    "cosmos": "autoscale",
    "alertEmails": {"critical": ["on-call@example.com"], "operations": ["ops@example.com"]},
    "receivers": ["critical+emergency/teams=https://hooks.example.com/T0K3N"],
    "webhookSecret": "s1gn-with-this",
    "model": "azure",
    "modelName": "small",
    "modelUrl": "https://models.example.com/openai",
    "modelApiVersion": "2024-10-21",
    "modelKey": "sk-very-secret",
    "issuer": "https://id.example.com",
    "audience": "watchkeeper",
    "webPubsub": "Standard_S1",
    "webPubsubUnits": 20,
    "canaryKey": "canary-very-secret",
    "budget": 500,
}
SCENARIOS = {
    "small": Scenario("aws-dev", {}),
    "small-preview": Scenario("aws-dev", {}, preview=True),
    "large": Scenario("aws-prod", LARGE, ("receivers", "webhookSecret", "modelKey")),
    "bedrock": Scenario(
        "aws-eu",
        {"model": "bedrock", "modelName": "some.model-v1:0", "modelKey": "a-bedrock-key", "protect": False},
        ("modelKey",),
    ),
    "wrong": Scenario("aws-dev", {"zones": 5, "natt": "one"}),
    "unbuilt": Scenario("aws-dev", {"bundles": "nowhere"}),
    "no-dashboard": Scenario("aws-dev", {"dashboardFolder": "docs"}),
    "azure-small": Scenario("azure-dev", {}, cloud="azure"),
    "azure-preview": Scenario("azure-dev", {}, preview=True, cloud="azure"),
    "azure-large": Scenario(
        "azure-prod", AZURE_LARGE, ("receivers", "webhookSecret", "modelKey", "canaryKey"), cloud="azure"
    ),
    "azure-open": Scenario(
        "azure-eu",
        {"protect": False, "model": "openai", "modelName": "m", "modelKey": "sk-open-key"},
        ("modelKey",),
        cloud="azure",
    ),
    "azure-keyless": Scenario(
        "azure-keyless",
        {
            "model": "azure",
            "modelName": "small",
            "modelUrl": "https://models.openai.azure.com/openai/v1",
            "modelAccount": "/subscriptions/10000000-0000-4000-8000-000000000000/resourceGroups/models"
            "/providers/Microsoft.CognitiveServices/accounts/models",
        },
        cloud="azure",
    ),
    "azure-unbuilt": Scenario("azure-dev", {"bundles": "nowhere"}, cloud="azure"),
    "azure-no-authority": Scenario("azure-dev", {"deviceCa": "README.md"}, cloud="azure"),
}
BUILT = ("small", "large", "bedrock")
AZURE_BUILT = ("azure-small", "azure-large", "azure-open", "azure-keyless")
REGION = {"aws": {"aws:region": "eu-central-1"}, "azure": {"azure-native:location": "westeurope"}}

DOCUMENT = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "%s", "Resource": "%s"}]}'
PREFIX = "watchkeeper-aws-dev"
PLANTS = [
    {"name": name, "of": "small", "type": kind, "resource": f"{PREFIX}-{resource}", "path": path, "value": value}
    for name, kind, resource, path, value in [
        ("unknown", "aws:dynamodb/table:Table", "alerts", ["pointInTimeRecovry"], {"enabled": True}),
        ("nested", "aws:lambda/function:Function", "clean", ["vpcConfig", "subnets"], ["subnet-1"]),
        ("missing", "aws:msk/topic:Topic", "dead-letter", ["partitionCount"], None),
        ("type", "aws:msk/topic:Topic", "dead-letter", ["partitionCount"], "many"),
        ("list", "aws:lambda/eventSourceMapping:EventSourceMapping", "clean-iot-data-ingestion", ["topics"], "x"),
        ("untagged", "aws:s3/bucket:Bucket", "lake", ["tags"], None),
        (
            "policy-action",
            "aws:iam/rolePolicy:RolePolicy",
            "clean",
            ["policy"],
            DOCUMENT % ("s3:GetObjects", "*"),
        ),
        (
            "policy-of-a-bucket",
            "aws:s3/bucketPolicy:BucketPolicy",
            "lake",
            ["policy"],
            DOCUMENT % ("s3:PutObjects", "arn:aws:s3:::bucket/*"),
        ),
        (
            "policy-resource",
            "aws:iam/rolePolicy:RolePolicy",
            "clean",
            ["policy"],
            DOCUMENT % ("s3:GetObject", "arn:aws:s3:::bucket"),
        ),
    ]
]
AZURE_PREFIX = "watchkeeper-azure-dev"
PLANTS += [
    {
        "name": f"azure-{name}", "of": "azure-small", "type": f"azure-native:{kind}",
        "resource": f"{AZURE_PREFIX}-{resource}", "path": path, "value": value,
    }
    for name, kind, resource, path, value in [
        ("unknown", "storage:StorageAccount", "lake", ["allowSharedKeys"], False),
        ("nested", "web:WebApp", "clean", ["functionAppConfig", "runtime", "versions"], "3.13"),
        ("missing", "eventhub:EventHub", "dead-letter", ["namespaceName"], None),
        ("type", "eventhub:EventHub", "dead-letter", ["partitionCount"], "many"),
        ("enumeration", "eventhub:Namespace", "stream", ["minimumTlsVersion"], "1.9"),
        ("list", "eventhub:Namespace", "stream", ["tags"], ["x"]),
        ("untagged", "keyvault:Vault", "secrets", ["tags"], None),
    ]
]  # fmt: skip


def as_pulumi(scenario, bundles):
    """The configuration as Pulumi hands it over: texts by key, and which keys are secret."""
    keys = {"cloud": scenario.cloud, "costCentre": "iot", "bundles": bundles} | scenario.keys
    values = {
        f"watchkeeper:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in keys.items()
    }
    return REGION[scenario.cloud] | values, [f"watchkeeper:{key}" for key in scenario.secret]
