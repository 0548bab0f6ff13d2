"""StageFunctions: a function for each row of the pipeline's table, with its triggers and a role of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

from watchkeeper.pipeline import MAY_WAIT
from watchkeeper_infra.aws.function import ARCHITECTURE, RUNTIME, Code, OwnFunction, Plan
from watchkeeper_infra.aws.iam import allow, role, trust
from watchkeeper_infra.aws.rights import CUTS_OFF, group_of, pushes, rights_of
from watchkeeper_infra.bundles import CODE, LAYERS
from watchkeeper_infra.functions import FUNCTIONS, consumers_first, rate
from watchkeeper_infra.site import under
from watchkeeper_infra.words import ALIAS, GIVEN_UP, INBOX, LEARNS, NAMESPACE_OF_METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watchkeeper.topology import Every, Topic
    from watchkeeper_infra.aws.network import Network
    from watchkeeper_infra.aws.rights import Surroundings
    from watchkeeper_infra.aws_config import AwsConfig
    from watchkeeper_infra.bundles import BuiltBundle
    from watchkeeper_infra.functions import FunctionSpec

MINUTE_S, HOUR_S = 60, 3600
SELDOM_TRIES = 2


class StageFunctions(pulumi.ComponentResource):
    """`functions` by stage, `mappings` by stage and topic, in the order in which they are upgraded."""

    def __init__(self, about: Surroundings, network: Network, bundles: Mapping[str, BuiltBundle]) -> None:
        super().__init__("watchkeeper:aws:StageFunctions", about.site.name("functions"))
        self._about, self._site = about, about.site
        self._network = aws.lambda_.FunctionVpcConfigArgs(
            subnet_ids=network.subnet_ids, security_group_ids=[network.functions.id]
        )
        built = bundles[CODE]
        self.code = Code(about.lake.code.bucket, about.lake.upload(CODE, built).key, built.digest)
        self.layers = {name: self._layer(name, bundles[name]) for name in LAYERS}
        self.mappings: dict[tuple[str, str], aws.lambda_.EventSourceMapping] = {}
        self.functions: dict[str, OwnFunction] = {}
        for function in consumers_first(FUNCTIONS.values()):
            self.functions[function.name] = self._function(function)
            for topic in function.topics:
                self.mappings[function.name, topic.name] = self._mapping(function, topic)
            if function.stage.timer:
                self._schedule(function, function.stage.timer)
        self._files()
        self._publish(built.digest)
        self.register_outputs({name: function.alias.arn for name, function in self.functions.items()})

    def _function(self, function: FunctionSpec) -> OwnFunction:
        after = [self.functions[o].alias for o in self.functions if set(FUNCTIONS[o].topics) & set(function.emits)]
        return OwnFunction(
            self._site,
            Plan(
                function.name,
                function.handler,
                self.code,
                self.layers[function.bundle].arn,
                function.memory_mb,
                function.timeout_s,
                self._environment(function),
                lambda logs: rights_of(function, self._about, logs),
                self._network,
            ),
            self._about.state.key,
            under(self),
            after,
        )

    def _layer(self, name: str, built: BuiltBundle) -> aws.lambda_.LayerVersion:
        """The packages of one kind of function; earlier versions stay, for functions that are rolled back."""
        lake, site = self._about.lake, self._site
        return aws.lambda_.LayerVersion(
            site.name(name),
            layer_name=site.name(name),
            description=f"Packages of the functions of the kind {name}",
            s3_bucket=lake.code.bucket,
            s3_key=lake.upload(name, built).key,
            source_code_hash=built.digest,
            compatible_architectures=[ARCHITECTURE],
            compatible_runtimes=[RUNTIME],
            skip_destroy=True,
            opts=under(self),
        )

    def _environment(self, function: FunctionSpec) -> dict[str, pulumi.Input[str]]:
        """What a function is told; secrets by their ARN only."""
        site, about, config = self._site, self._about, self._site.config
        told: dict[str, pulumi.Input[str]] = {
            "WATCHKEEPER_STAGE": function.name,
            "WATCHKEEPER_STACK": site.stack,
            "WATCHKEEPER_KAFKA_BROKERS": about.stream.brokers(config.kafka_login),
            "WATCHKEEPER_KAFKA_LOGIN": config.kafka_login,
            "WATCHKEEPER_BUCKET": about.lake.bucket.bucket,
            "WATCHKEEPER_TABLE_PREFIX": site.name(""),
            "WATCHKEEPER_SHARDS": str(config.shards),
            "WATCHKEEPER_PARTITIONS": str(config.partitions),
            "POWERTOOLS_SERVICE_NAME": function.name,
            "POWERTOOLS_METRICS_NAMESPACE": NAMESPACE_OF_METRICS,
            "POWERTOOLS_LOG_LEVEL": config.log_level.upper(),
        }
        if config.kafka_login == "scram":
            told["WATCHKEEPER_KAFKA_SECRET"] = about.stream.secret.arn
        if "receivers" in function.uses:
            told["WATCHKEEPER_ALERT_TOPICS"] = pulumi.Output.json_dumps(about.alerts.by_severity)
            if "receivers" in about.state.secrets:
                told["WATCHKEEPER_RECEIVERS_SECRET"] = about.state.secrets["receivers"].arn
        if pushes(function, site):
            told["WATCHKEEPER_SOCKETS_URL"] = about.listeners.url
        if "language_model" in function.uses and config.model != "none":
            told |= {
                "WATCHKEEPER_MODEL_NAME": config.model_name,
                "WATCHKEEPER_MODEL_URL": model_url(config, site.region),
                "WATCHKEEPER_MODEL_SECRET": about.state.secrets["model"].arn,
            }
        if "meter" in function.uses:
            told["WATCHKEEPER_BUDGET"] = f"{config.budget:g}"
        if function.name == LEARNS:
            told["WATCHKEEPER_SHADOW_HOURS"] = str(config.shadow_hours)
        if function.name == CUTS_OFF:
            told["WATCHKEEPER_WAITING_HOURS"] = f"{config.retry_hours / 2:g}"  # the other half is for catching up
            told["WATCHKEEPER_WAITING_FUNCTIONS"] = json.dumps({s: f"{site.name(s)}:{ALIAS}" for s in MAY_WAIT})
        return told

    def _mapping(self, function: FunctionSpec, topic: Topic) -> aws.lambda_.EventSourceMapping:
        site, config, about = self._site, self._site.config, self._about
        made = self.functions[function.name]
        return aws.lambda_.EventSourceMapping(
            site.name(function.name, topic.name),
            function_name=made.alias.arn,
            event_source_arn=about.stream.cluster.arn,
            topics=[about.stream.topics[topic.name].name],
            starting_position="TRIM_HORIZON",
            amazon_managed_kafka_event_source_config=aws.lambda_.EventSourceMappingAmazonManagedKafkaEventSourceConfigArgs(
                consumer_group_id=group_of(function, topic.name)
            ),
            batch_size=config.batch_size,
            maximum_batching_window_in_seconds=config.batch_window_seconds,
            provisioned_poller_config=aws.lambda_.EventSourceMappingProvisionedPollerConfigArgs(
                minimum_pollers=config.pollers,
                maximum_pollers=config.pollers_at_most,
                poller_group_name=site.name("pollers"),
            ),
            function_response_types=["ReportBatchItemFailures"],
            bisect_batch_on_function_error=True,
            maximum_retry_attempts=config.retries,
            maximum_record_age_in_seconds=config.retry_hours * HOUR_S,
            destination_config=aws.lambda_.EventSourceMappingDestinationConfigArgs(
                on_failure=aws.lambda_.EventSourceMappingDestinationConfigOnFailureArgs(
                    destination_arn=about.lake.bucket.arn
                )
            ),
            tags=site.tags(function.name),
            # Who disables it, so that a stage waits, does not want `pulumi up` to undo that.
            opts=under(self, depends_on=[made.alias], ignore_changes=["enabled"]),
        )

    def _schedule(self, function: FunctionSpec, timer: Every) -> None:
        """The timer, in whole minutes: the scheduler knows nothing shorter.

        A tick that fails is not repeated, since the next one comes anyhow; what comes seldom is tried again.
        """
        tries, age_s = (SELDOM_TRIES, HOUR_S) if timer.seconds > HOUR_S else (0, MINUTE_S)
        site, made = self._site, self.functions[function.name]
        name = f"{function.name}-timer"
        caller, policy = role(
            site,
            name,
            trust("scheduler.amazonaws.com", site),
            [allow("Call", ["lambda:InvokeFunction"], made.alias.arn)],
            under(made),
            function.name,
        )
        aws.scheduler.Schedule(
            site.name(name),
            name=site.name(name),
            description=f"The timer of {function.name}: every {timer.seconds:g} s in the pipeline's table",
            schedule_expression=rate(timer),
            flexible_time_window=aws.scheduler.ScheduleFlexibleTimeWindowArgs(mode="OFF"),
            target=aws.scheduler.ScheduleTargetArgs(
                arn=made.alias.arn,
                role_arn=caller.arn,
                input=json.dumps({"timer": function.name}),
                retry_policy=aws.scheduler.ScheduleTargetRetryPolicyArgs(
                    maximum_retry_attempts=tries, maximum_event_age_in_seconds=age_s
                ),
            ),
            opts=under(self, depends_on=[policy]),
        )
        aws.lambda_.FunctionEventInvokeConfig(
            site.name(name),
            function_name=made.function.name,
            qualifier=made.alias.name,
            maximum_retry_attempts=tries,
            maximum_event_age_in_seconds=age_s,
            opts=under(self),
        )

    def _files(self) -> None:
        """Files go to ingest, and so do batches that Lambda has given up: each message becomes a dead letter."""
        ingest, bucket = self.functions["ingest"], self._about.lake.bucket
        permission = ingest.permit("files", "s3.amazonaws.com", bucket.arn, self._site)
        aws.s3.BucketNotification(
            self._site.name("files"),
            bucket=bucket.bucket,
            lambda_functions=[
                aws.s3.BucketNotificationLambdaFunctionArgs(
                    id=prefix.strip("/").replace("/", "-"),
                    lambda_function_arn=ingest.alias.arn,
                    events=["s3:ObjectCreated:*"],
                    filter_prefix=prefix,
                )
                for prefix in (INBOX, GIVEN_UP)
            ],
            opts=under(self, depends_on=[permission]),
        )

    def _publish(self, digest: str) -> None:
        """Put the knowledge that was deployed in force, whenever the code's bundle, which holds it, is another one.

        Only `api` may write it: whoever else came first where nothing is in force yet would wait for it.
        """
        api = self.functions["api"]
        aws.lambda_.Invocation(
            self._site.name("publish-knowledge"),
            function_name=api.function.name,
            qualifier=api.alias.name,
            input=json.dumps({"command": "publish-knowledge"}),
            triggers={"code": digest},
            opts=under(self, depends_on=[api.alias]),
        )


def model_url(config: AwsConfig, region: str) -> str:
    """Where the model is asked, by OpenAI's protocol, which Bedrock speaks too."""
    if config.model == "bedrock":
        return f"https://bedrock-runtime.{region}.amazonaws.com/openai/v1"
    return config.model_url or "https://api.openai.com/v1"
