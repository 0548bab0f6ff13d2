"""Alerts: a topic for each severity, and one for what is wrong with Watchkeeper itself, with people behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

from watchkeeper.records import Severity
from watchkeeper_infra.aws.iam import allow, document, tls_only
from watchkeeper_infra.site import under
from watchkeeper_infra.words import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watchkeeper_infra.aws.iam import Statement
    from watchkeeper_infra.aws.site import Site

BUDGET = "budget"
SERVICES = {OPERATIONS: "cloudwatch.amazonaws.com", BUDGET: "budgets.amazonaws.com"}
"""Which service tells what to a topic; alerts come from the function notify, by its role."""


class Alerts(pulumi.ComponentResource):
    """`topics` by severity, `operations` and `budget`; `key` encrypts what waits in them."""

    def __init__(self, site: Site) -> None:
        super().__init__("watchkeeper:aws:Alerts", site.name("alerts"))
        self._site = site
        self.key = aws.kms.Key(
            site.name("alerts"),
            description="Alerts of Watchkeeper on their way",
            enable_key_rotation=True,
            policy=self._key_policy(),
            tags=site.tags(),
            opts=site.keeping(self),
        )
        self.topics: Mapping[str, aws.sns.Topic] = {name: self._topic(name) for name in (*Severity, *SERVICES)}
        for name, addresses in site.config.alert_emails.items():
            for address in addresses:
                aws.sns.TopicSubscription(
                    site.name(name, address),
                    topic=self.topics[name].arn,
                    protocol="email",
                    endpoint=address,
                    opts=under(self),
                )
        self.register_outputs({"topics": {name: topic.arn for name, topic in self.topics.items()}})

    @property
    def by_severity(self) -> dict[str, pulumi.Output[str]]:
        """The ARNs of the topics that notify tells."""
        return {severity.value: self.topics[severity].arn for severity in Severity}

    def _topic(self, name: str) -> aws.sns.Topic:
        site = self._site
        topic = aws.sns.Topic(
            site.name("alerts", name),
            name=site.name("alerts", name),
            kms_master_key_id=self.key.arn,
            tags=site.tags("notify" if name not in SERVICES else ""),
            opts=under(self),
        )
        statements: list[Statement] = [tls_only(topic.arn, "sns:Publish")]
        if name in SERVICES:
            whose = {"aws:SourceAccount": site.account}
            said = allow("Service", ["sns:Publish"], topic.arn, StringEquals=whose)
            statements.append(said | {"Principal": {"Service": SERVICES[name]}})
        aws.sns.TopicPolicy(
            site.name("alerts", name),
            arn=topic.arn,
            policy=document(statements),
            opts=pulumi.ResourceOptions(parent=topic),
        )
        return topic

    def _key_policy(self) -> pulumi.Output[str]:
        """The account decides by IAM, and the services that tell something may encrypt it. `*` is the key itself."""
        account = self._site.account
        owner = allow("Account", ["kms:*"], "*") | {
            "Principal": {"AWS": pulumi.Output.concat("arn:aws:iam::", account, ":root")}
        }
        whose = {"aws:SourceAccount": account}
        services = allow("Services", ["kms:Decrypt", "kms:GenerateDataKey*"], "*", StringEquals=whose)
        return document([owner, services | {"Principal": {"Service": list(SERVICES.values())}}])
