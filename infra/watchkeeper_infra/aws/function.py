"""One Lambda function with its own role, its own log, a published version, and the alias that callers call."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

from watchkeeper_infra.aws.iam import plain_trust, role
from watchkeeper_infra.site import under
from watchkeeper_infra.words import ALIAS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from watchkeeper_infra.aws.iam import Statement
    from watchkeeper_infra.aws.site import Site

RUNTIME, ARCHITECTURE = "python3.13", "arm64"


@dataclasses.dataclass(frozen=True)
class Code:
    """Where a function's bundle lies, and its digest as Lambda says it (SHA-256, base64)."""

    bucket: pulumi.Output[str]
    key: pulumi.Output[str]
    digest: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """A function to be made. `network` is empty for one outside the VPC; `rights` get the ARN of its log group."""

    name: str
    handler: str
    code: Code
    layer: pulumi.Input[str]
    memory_mb: int
    timeout_s: int
    environment: Mapping[str, pulumi.Input[str]]
    rights: Callable[[pulumi.Output[str]], Sequence[Statement]]
    network: aws.lambda_.FunctionVpcConfigArgs | None = None


class OwnFunction(pulumi.ComponentResource):
    """`function`, its `alias` (what everything calls), its `role` and its `logs`.

    `after` are what must be upgraded before it: the consumers of what it emits.
    """

    def __init__(
        self,
        site: Site,
        plan: Plan,
        key: aws.kms.Key,
        options: pulumi.ResourceOptions,
        after: Sequence[pulumi.Resource] = (),
    ) -> None:
        super().__init__("watchkeeper:aws:Function", site.name(plan.name), opts=options)
        name, own, config = site.name(plan.name), under(self), site.config
        self.name = plan.name
        self.logs = aws.cloudwatch.LogGroup(
            name,
            name=f"/aws/lambda/{name}",
            retention_in_days=config.log_days,
            kms_key_id=key.arn,
            tags=site.tags(plan.name),
            opts=own,
        )
        self.role, policy = role(
            site, plan.name, plain_trust("lambda.amazonaws.com"), plan.rights(self.logs.arn), own, plan.name
        )
        self.function = aws.lambda_.Function(
            name,
            name=name,
            description=f"Watchkeeper: {plan.name}",
            role=self.role.arn,
            runtime=RUNTIME,
            architectures=[ARCHITECTURE],
            handler=plan.handler,
            s3_bucket=plan.code.bucket,
            s3_key=plan.code.key,
            source_code_hash=plan.code.digest,
            layers=[plan.layer],
            memory_size=config.memory_mb.get(plan.name, plan.memory_mb),
            timeout=plan.timeout_s,
            publish=True,
            environment=aws.lambda_.FunctionEnvironmentArgs(variables=dict(plan.environment)),
            kms_key_arn=key.arn,
            vpc_config=plan.network,
            tracing_config=aws.lambda_.FunctionTracingConfigArgs(mode="Active"),
            logging_config=aws.lambda_.FunctionLoggingConfigArgs(log_format="Text", log_group=self.logs.name),
            tags=site.tags(plan.name),
            opts=under(self, depends_on=[policy]),
        )
        version = config.versions.get(plan.name)
        self.alias = aws.lambda_.Alias(
            name,
            name=ALIAS,
            function_name=self.function.name,
            function_version=self.function.version if version is None else str(version),
            opts=under(self, depends_on=list(after)),
        )
        self.register_outputs({"alias": self.alias.arn})

    def permit(self, what: str, principal: str, source: pulumi.Input[str], site: Site) -> aws.lambda_.Permission:
        """Let one service call it, on behalf of one resource."""
        return aws.lambda_.Permission(
            site.name(self.name, what),
            action="lambda:InvokeFunction",
            function=self.function.name,
            qualifier=self.alias.name,
            principal=principal,
            source_arn=source,
            source_account=site.account if principal == "s3.amazonaws.com" else None,
            opts=under(self),
        )
