"""BudgetGuard: two budgets of the account's own billing, which tell budget_cutoff when the meter was wrong.

The meter counts as it happens; the bill arrives hours later. It is the backstop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

from watchkeeper_infra.aws.alerts import BUDGET
from watchkeeper_infra.site import under

if TYPE_CHECKING:
    from watchkeeper_infra.aws.alerts import Alerts
    from watchkeeper_infra.aws.function import OwnFunction
    from watchkeeper_infra.aws.site import Site

THRESHOLDS = {"ACTUAL": (80, 95, 100), "FORECASTED": (100, 120)}
"""Percent of the month's budget; a budget takes five notifications at most."""


class BudgetGuard(pulumi.ComponentResource):
    """`budgets` by kind; there are none without a budget."""

    def __init__(self, site: Site, alerts: Alerts, cutoff: OwnFunction) -> None:
        super().__init__("watchkeeper:aws:BudgetGuard", site.name("budget"))
        self._site, own = site, under(self)
        topic = alerts.topics[BUDGET]
        permission = cutoff.permit("budget", "sns.amazonaws.com", topic.arn, site)
        aws.sns.TopicSubscription(
            site.name("cutoff"),
            topic=topic.arn,
            protocol="lambda",
            endpoint=cutoff.alias.arn,
            opts=under(self, depends_on=[permission]),
        )
        self.budgets = {
            kind: aws.budgets.Budget(
                site.name("budget", kind.lower()),
                name=site.name(kind.lower()),
                budget_type="COST",
                time_unit="MONTHLY",
                limit_amount=f"{site.config.budget:.2f}",
                limit_unit="USD",
                cost_filters=[
                    aws.budgets.BudgetCostFilterArgs(name="TagKeyValue", values=[f"user:stack${site.stack}"])
                ],
                notifications=[
                    aws.budgets.BudgetNotificationArgs(
                        comparison_operator="GREATER_THAN",
                        notification_type=kind,
                        threshold=threshold,
                        threshold_type="PERCENTAGE",
                        subscriber_sns_topic_arns=[topic.arn],
                    )
                    for threshold in thresholds
                ],
                tags=site.tags("budget_cutoff"),
                opts=own,
            )
            for kind, thresholds in THRESHOLDS.items()
            if site.config.budget
        }
        self.register_outputs({"budgets": [budget.name for budget in self.budgets.values()]})
