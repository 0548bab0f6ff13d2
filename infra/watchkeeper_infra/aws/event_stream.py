"""EventStream: a provisioned Kafka cluster with TLS only, two ways to log in, and every topic of the pipeline."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

from watchkeeper.topology import DEAD_LETTER, TOPICS
from watchkeeper_infra.site import under

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watchkeeper.topology import Topic
    from watchkeeper_infra.aws.network import Network
    from watchkeeper_infra.aws.site import Site
    from watchkeeper_infra.aws.state import State

HOUR_MS = 3_600_000
LARGEST_MESSAGE = 1_048_576
USER = "watchkeeper"


class EventStream(pulumi.ComponentResource):
    """`cluster`, the `topics` by name, and the `secret` of who logs in by SCRAM.

    SCRAM users fall under Kafka's own access lists, which cannot be declared here: as long as there are none, they may
    do everything. By IAM each function has the rights that its role names.
    """

    def __init__(self, site: Site, network: Network, state: State) -> None:
        super().__init__("watchkeeper:aws:EventStream", site.name("stream"))
        self._site, config = site, site.config
        self.replicas = min(3, config.kafka_brokers)
        self.cluster = aws.msk.Cluster(
            site.name("stream"),
            cluster_name=site.name("stream"),
            kafka_version=config.kafka_version,
            number_of_broker_nodes=config.kafka_brokers,
            broker_node_group_info=aws.msk.ClusterBrokerNodeGroupInfoArgs(
                instance_type=config.kafka_instance,
                client_subnets=network.subnet_ids,
                security_groups=[network.brokers.id],
                storage_info=aws.msk.ClusterBrokerNodeGroupInfoStorageInfoArgs(
                    ebs_storage_info=aws.msk.ClusterBrokerNodeGroupInfoStorageInfoEbsStorageInfoArgs(
                        volume_size=config.kafka_volume_gb
                    )
                ),
            ),
            client_authentication=aws.msk.ClusterClientAuthenticationArgs(
                sasl=aws.msk.ClusterClientAuthenticationSaslArgs(iam=True, scram=True), unauthenticated=False
            ),
            encryption_info=aws.msk.ClusterEncryptionInfoArgs(
                encryption_at_rest_kms_key_arn=state.key.arn,
                encryption_in_transit=aws.msk.ClusterEncryptionInfoEncryptionInTransitArgs(
                    client_broker="TLS", in_cluster=True
                ),
            ),
            configuration_info=self._configuration(),
            enhanced_monitoring="DEFAULT",  # has the lag of each group, and costs nothing
            logging_info=aws.msk.ClusterLoggingInfoArgs(
                broker_logs=aws.msk.ClusterLoggingInfoBrokerLogsArgs(
                    cloudwatch_logs=aws.msk.ClusterLoggingInfoBrokerLogsCloudwatchLogsArgs(
                        enabled=True, log_group=self._logs(state).name
                    )
                )
            ),
            tags=site.tags(),
            opts=site.keeping(self),
        )
        self.secret = self._login(state)
        self.topics: Mapping[str, aws.msk.Topic] = {name: self._topic(topic) for name, topic in TOPICS.items()}
        self.register_outputs({"clusterArn": self.cluster.arn})

    def brokers(self, login: str) -> pulumi.Output[str]:
        """Where the brokers are for who logs in so (`iam` or `scram`)."""
        found: pulumi.Output[str] = (
            self.cluster.bootstrap_brokers_sasl_iam if login == "iam" else self.cluster.bootstrap_brokers_sasl_scram
        )
        return found

    def topic_arn(self, name: str) -> pulumi.Output[str]:
        """The ARN of a topic for IAM, which is not the cluster's."""
        return self._arn("topic", name)

    def group_arn(self, name: str) -> pulumi.Output[str]:
        """The ARN of a consumer group."""
        return self._arn("group", name)

    def _arn(self, kind: str, name: str) -> pulumi.Output[str]:
        made: pulumi.Output[str] = self.cluster.arn.apply(
            lambda arn: f"{arn.replace(':cluster/', f':{kind}/', 1)}/{name}"
        )
        return made

    def _configuration(self) -> aws.msk.ClusterConfigurationInfoArgs:
        properties = {
            "auto.create.topics.enable": "false",  # a topic that nobody declared is a mistake
            "default.replication.factor": self.replicas,
            "min.insync.replicas": self.replicas - 1 if self.replicas > 2 else 1,
            "message.max.bytes": LARGEST_MESSAGE,
            "unclean.leader.election.enable": "false",
        }
        made = aws.msk.Configuration(
            self._site.name("stream"),
            kafka_versions=[self._site.config.kafka_version],
            server_properties="".join(f"{name}={value}\n" for name, value in properties.items()),
            opts=under(self),
        )
        return aws.msk.ClusterConfigurationInfoArgs(arn=made.arn, revision=made.latest_revision)

    def _logs(self, state: State) -> aws.cloudwatch.LogGroup:
        site = self._site
        return aws.cloudwatch.LogGroup(
            site.name("stream"),
            name=f"/watchkeeper/{site.stack}/stream",
            retention_in_days=site.config.log_days,
            kms_key_id=state.key.arn,
            tags=site.tags(),
            opts=under(self),
        )

    def _login(self, state: State) -> aws.secretsmanager.Secret:
        """A user with a password that nobody has seen. It is made once; MSK asks for the name's beginning."""
        site = self._site
        secret = aws.secretsmanager.Secret(
            site.name("kafka"),
            name_prefix=f"AmazonMSK_{site.name('kafka')}-",
            description="How the device hub, and functions by SCRAM, log in to the stream",
            kms_key_id=state.key.arn,
            tags=site.tags(),
            opts=site.keeping(self),
        )
        password = aws.secretsmanager.get_random_password_output(password_length=40, exclude_punctuation=True)
        login = {"username": USER, "password": password.random_password}
        version = aws.secretsmanager.SecretVersion(
            site.name("kafka"),
            secret_id=secret.id,
            secret_string=pulumi.Output.secret(pulumi.Output.json_dumps(login)),
            opts=pulumi.ResourceOptions(parent=secret, ignore_changes=["secretString"]),
        )
        self.login = aws.msk.ScramSecretAssociation(
            site.name("kafka"),
            cluster_arn=self.cluster.arn,
            secret_arn_lists=[secret.arn],
            opts=under(self, depends_on=[version]),
        )
        return secret

    def _topic(self, topic: Topic) -> aws.msk.Topic:
        config = self._site.config
        hours = config.dead_letter_days * 24 if topic is DEAD_LETTER else config.retention_hours
        return aws.msk.Topic(
            self._site.name(topic.name),
            name=topic.name,
            cluster_arn=self.cluster.arn,
            partition_count=config.partitions if topic.sharded else 1,
            replication_factor=self.replicas,
            configs=json.dumps({"cleanup.policy": "delete", "retention.ms": str(hours * HOUR_MS)}),
            opts=self._site.unchangeable(self, "partitionCount"),
        )
