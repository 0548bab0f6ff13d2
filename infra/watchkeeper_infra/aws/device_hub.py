"""DeviceHub: devices on IoT Core, each held to its own name, and a rule that hands what they say to the stream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

from watchkeeper.topology import DEVICE_TELEMETRY
from watchkeeper_infra.aws.iam import VERSION, allow, plain_trust, role, trust
from watchkeeper_infra.site import under
from watchkeeper_infra.words import RULE_ERRORS

if TYPE_CHECKING:
    from watchkeeper_infra.aws.event_stream import EventStream
    from watchkeeper_infra.aws.iam import Statement
    from watchkeeper_infra.aws.lake import Lake
    from watchkeeper_infra.aws.network import Network
    from watchkeeper_infra.aws.site import Site
    from watchkeeper_infra.aws.state import State

THING = "${iot:Connection.Thing.ThingName}"
REGISTRATION = "arn:aws:iam::aws:policy/service-role/AWSIoTThingsRegistration"
IOT = "iot.amazonaws.com"
TAG = "VPCDestinationENI"
ONCE = {"AttributePayload": "FAIL", "ThingTypeName": "FAIL", "ThingGroups": "FAIL"}
"""A name that is taken cannot be registered again: who holds a claim certificate must not become another device."""
ENABLED_WITHIN = "30m"


class DeviceHub(pulumi.ComponentResource):
    """The `rule`, the `policy` of a device, the `template` by which new devices register, and the `endpoint`.

    A PUBACK says that the hub has a message, not that the stream has it: what cannot be handed on goes to the bucket.
    The rule's Kafka action knows `acks` 0 and 1 only: what the leader alone has when it is lost, is lost.
    """

    def __init__(self, site: Site, network: Network, stream: EventStream, state: State, lake: Lake) -> None:
        super().__init__("watchkeeper:aws:DeviceHub", site.name("hub"))
        self._site, self._own = site, under(self)
        self.rule_name = site.name("telemetry").replace("-", "_")
        self.rule = aws.iot.TopicRule(
            site.name("telemetry"),
            name=self.rule_name,
            description="Telemetry of devices, to the stream",
            enabled=True,
            sql="SELECT * FROM 'devices/+/telemetry'",
            sql_version="2016-03-23",
            kafkas=[self._to_stream(network, stream, state)],
            error_action=aws.iot.TopicRuleErrorActionArgs(s3=self._to_bucket(lake, state)),
            tags=site.tags("ingest"),
            opts=under(self, depends_on=[stream.login, stream.topics[DEVICE_TELEMETRY.name]]),
        )
        self.thing_type = aws.iot.ThingType(
            site.name("device"),
            name=site.name("device"),
            properties=aws.iot.ThingTypePropertiesArgs(
                description="A device that Watchkeeper watches", searchable_attributes=["site"]
            ),
            tags=site.tags(),
            opts=self._own,
        )
        self.policy = self._policy("device", self._may_as_itself())
        self.template = self._template()
        self.claim_policy = self._policy("claim", self._may_register())
        self.endpoint: pulumi.Output[str] = aws.iot.get_endpoint_output(endpoint_type="iot:Data-ATS").endpoint_address
        self.register_outputs({"rule": self.rule.arn, "endpoint": self.endpoint})

    def _to_stream(self, network: Network, stream: EventStream, state: State) -> aws.iot.TopicRuleKafkaArgs:
        destination = self._destination(network)
        via = {"kms:ViaService": f"secretsmanager.{self._site.region}.amazonaws.com"}
        reader, _ = self._role(
            "hub-login",
            [
                allow(
                    "ReadLogin",
                    ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"],
                    stream.secret.arn,
                ),
                allow("LoginKey", ["kms:Decrypt"], state.key.arn, StringEquals=via),
            ],
        )

        def secret(part: str) -> pulumi.Output[str]:
            return pulumi.Output.concat(
                "${get_secret('", stream.secret.name, "', 'SecretString', '", part, "', '", reader.arn, "')}"
            )

        return aws.iot.TopicRuleKafkaArgs(
            destination_arn=destination.arn,
            topic=DEVICE_TELEMETRY.name,
            key="${clientid()}",  # a device stays in one partition, so that its order is kept
            headers=[
                aws.iot.TopicRuleKafkaHeaderArgs(key="device", value="${clientid()}"),
                aws.iot.TopicRuleKafkaHeaderArgs(key="received", value="${timestamp()}"),
            ],
            client_properties={
                "bootstrap.servers": stream.brokers("scram"),
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.scram.username": secret("username"),
                "sasl.scram.password": secret("password"),
                "acks": "1",
                "compression.type": "lz4",
            },
        )

    def _destination(self, network: Network) -> aws.iot.TopicRuleDestination:
        """The rule's way into the VPC. It needs minutes to become enabled, and its policy before it is made."""
        site = self._site
        interface = site.arn("ec2", "network-interface/*")
        tagged = {f"aws:ResourceTag/{TAG}": "true"}
        requested = {f"aws:RequestTag/{TAG}": "true", "ec2:CreateAction": "CreateNetworkInterface"}
        describe = ("NetworkInterfaces", "Vpcs", "VpcAttribute", "Subnets", "SecurityGroups")
        made, policy = role(
            site,
            "hub-network",
            plain_trust(IOT),  # it is not known to say on whose behalf it makes interfaces
            [
                allow(
                    "MakeInterfaces",
                    [
                        "ec2:CreateNetworkInterface",
                        "ec2:DeleteNetworkInterface",
                        *(f"ec2:Describe{x}" for x in describe),
                    ],
                    "*",
                ),
                allow("HandOver", ["ec2:CreateNetworkInterfacePermission"], interface, StringEquals=tagged),
                allow("TagInterfaces", ["ec2:CreateTags"], interface, StringEquals=requested),
            ],
            self._own,
            "ingest",
        )
        return aws.iot.TopicRuleDestination(
            site.name("hub"),
            enabled=True,
            vpc_configuration=aws.iot.TopicRuleDestinationVpcConfigurationArgs(
                role_arn=made.arn,
                vpc_id=network.vpc.id,
                subnet_ids=network.subnet_ids,
                security_groups=[network.devices.id],
            ),
            opts=under(
                self,
                depends_on=[policy],
                custom_timeouts=pulumi.CustomTimeouts(
                    create=ENABLED_WITHIN, update=ENABLED_WITHIN, delete=ENABLED_WITHIN
                ),
            ),
        )

    def _to_bucket(self, lake: Lake, state: State) -> aws.iot.TopicRuleErrorActionS3Args:
        via = {"kms:ViaService": f"s3.{self._site.region}.amazonaws.com"}
        writer, _ = self._role(
            "hub-errors",
            [
                allow("KeepErrors", ["s3:PutObject"], pulumi.Output.concat(lake.bucket.arn, "/", RULE_ERRORS, "*")),
                allow("ErrorsKey", ["kms:GenerateDataKey"], state.key.arn, StringEquals=via),
            ],
        )
        return aws.iot.TopicRuleErrorActionS3Args(
            bucket_name=lake.bucket.bucket, key=RULE_ERRORS + "${clientid()}/${timestamp()}", role_arn=writer.arn
        )

    def _role(self, name: str, statements: list[Statement]) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
        return role(self._site, name, trust(IOT, self._site), statements, self._own, "ingest")

    def _policy(self, name: str, statements: list[Statement]) -> aws.iot.Policy:
        site = self._site
        return aws.iot.Policy(
            site.name(name),
            name=site.name(name),
            policy=pulumi.Output.json_dumps({"Version": VERSION, "Statement": statements}),
            tags=site.tags(),
            opts=self._own,
        )

    def _may_as_itself(self) -> list[Statement]:
        """A device connects by its own name, with a certificate that belongs to it, and speaks on its own topics."""
        site = self._site
        attached = {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}
        own = [f"topic/devices/{THING}/telemetry", f"topic/$aws/rules/{self.rule_name}/devices/{THING}/telemetry"]
        return [
            allow("Connect", ["iot:Connect"], site.arn("iot", f"client/{THING}"), **attached),
            allow("Speak", ["iot:Publish"], [site.arn("iot", topic) for topic in own]),
        ]

    def _may_register(self) -> list[Statement]:
        """What a claim certificate, which many devices share, is good for: to ask for a certificate of one's own."""
        site = self._site
        topics = ("certificates/create/*", f"provisioning-templates/{self._template_name}/provision/*")
        return [
            allow("Connect", ["iot:Connect"], site.arn("iot", "client/${iot:ClientId}")),
            allow("Ask", ["iot:Publish", "iot:Receive"], [site.arn("iot", f"topic/$aws/{topic}") for topic in topics]),
            allow("Listen", ["iot:Subscribe"], [site.arn("iot", f"topicfilter/$aws/{topic}") for topic in topics]),
        ]

    @property
    def _template_name(self) -> str:
        return self._site.name("device")

    def _template(self) -> aws.iot.ProvisioningTemplate:
        """Fleet provisioning: who comes with a claim certificate gets a thing, a certificate and the device policy."""
        site, name = self._site, "hub-registration"
        made = aws.iam.Role(
            site.name(name),
            name=site.name(name),
            assume_role_policy=trust(IOT, site),
            tags=site.tags(),
            opts=self._own,
        )
        attached = aws.iam.RolePolicyAttachment(
            site.name(name), role=made.name, policy_arn=REGISTRATION, opts=self._own
        )
        thing = {
            "ThingName": {"Ref": "SerialNumber"},
            "ThingTypeName": self.thing_type.name,
            "AttributePayload": {"site": {"Ref": "Site"}},
        }
        body = {
            "Parameters": {
                "SerialNumber": {"Type": "String"},
                "Site": {"Type": "String", "Default": ""},
                "AWS::IoT::Certificate::Id": {"Type": "String"},
            },
            "Resources": {
                "thing": {"Type": "AWS::IoT::Thing", "Properties": thing, "OverrideSettings": ONCE},
                "certificate": {
                    "Type": "AWS::IoT::Certificate",
                    "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"},
                },
                "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": self.policy.name}},
            },
        }
        return aws.iot.ProvisioningTemplate(
            self._template_name,
            name=self._template_name,
            description="How new devices register with a claim certificate",
            enabled=True,
            provisioning_role_arn=made.arn,
            template_body=pulumi.Output.json_dumps(body),
            tags=site.tags(),
            opts=under(self, depends_on=[attached]),
        )


def example_payload() -> str:
    """A reading to try the hub with."""
    return json.dumps({"values": {"flow": 102.5, "vibration": 8.9}})
