"""BudgetGuard: two budgets of the subscription's own billing, which tell budget_cutoff when the meter was wrong.

The meter counts as it happens; the bill arrives hours later. It is the backstop.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pulumi
import pulumi_azure_native as azure

from watchkeeper_infra.azure.alerts import action_group
from watchkeeper_infra.azure.app import address_of
from watchkeeper_infra.site import under
from watchkeeper_infra.words import BILL_FUNCTION, BILL_ROUTE

if TYPE_CHECKING:
    from watchkeeper_infra.azure.app import OwnApp
    from watchkeeper_infra.azure.site import Site

THRESHOLDS = {"Actual": (80, 95, 100), "Forecasted": (100, 120)}
"""Percent of the month's budget; a budget takes five notifications at most."""


class BudgetGuard(pulumi.ComponentResource):
    """`group` tells budget_cutoff; `budgets` by kind; there is neither without a budget."""

    def __init__(self, site: Site, cutoff: OwnApp) -> None:
        super().__init__("watchkeeper:azure:BudgetGuard", site.name("budget"))
        own = under(self)
        self.budgets: dict[str, azure.consumption.Budget] = {}
        if site.config.budget:
            self.group = action_group(site, "bill", own, functions=[_receiver(site, cutoff)], stage="budget_cutoff")
            self.budgets = {kind: self._budget(site, kind) for kind in THRESHOLDS}
        self.register_outputs({"budgets": [budget.name for budget in self.budgets.values()]})

    def _budget(self, site: Site, kind: str) -> azure.consumption.Budget:
        """It begins with the month in which it was made, and that stays: another beginning would be another budget.

        Its name says whether it looks ahead, which not every form of its notifications does.
        """
        began = datetime.now(UTC).strftime("%Y-%m-01T00:00:00Z")
        return azure.consumption.Budget(
            site.name("budget", kind.lower()),
            budget_name=site.name("budget", kind.lower()),
            scope=f"/subscriptions/{site.subscription}",
            category="Cost",
            amount=site.config.budget,
            time_grain="Monthly",
            time_period=azure.consumption.BudgetTimePeriodArgs(start_date=began),
            filter=azure.consumption.BudgetFilterArgs(
                tags=azure.consumption.BudgetComparisonExpressionArgs(name="stack", operator="In", values=[site.stack])
            ),
            notifications={
                f"{kind}-{percent}": azure.consumption.NotificationArgs(
                    enabled=True,
                    operator="GreaterThanOrEqualTo",
                    threshold=percent,
                    threshold_type=kind,
                    contact_emails=[],
                    contact_groups=[self.group.id],
                )
                for percent in THRESHOLDS[kind]
            },
            opts=under(self, ignore_changes=["timePeriod"]),
        )


def _receiver(site: Site, cutoff: OwnApp) -> azure.monitor.AzureFunctionReceiverArgs:
    """The function is called by its address with the app's key, which Azure asks for; it does nothing but look."""
    keys = azure.web.list_web_app_host_keys_output(
        name=cutoff.app.name,
        resource_group_name=site.group,
        opts=pulumi.InvokeOutputOptions(depends_on=[cutoff.released]),
    )
    key = keys.function_keys.apply(lambda found: (found or {}).get("default", ""))
    return azure.monitor.AzureFunctionReceiverArgs(
        name="cutoff",
        function_app_resource_id=cutoff.app.id,
        function_name=BILL_FUNCTION,
        http_trigger_url=pulumi.Output.secret(
            pulumi.Output.concat(address_of(cutoff.app), f"/api/{BILL_ROUTE}?code=", key)
        ),
        use_common_alert_schema=True,
    )
