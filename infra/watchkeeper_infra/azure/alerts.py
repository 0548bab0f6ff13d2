"""Alerts: the action group of people who are told what is wrong with Watchkeeper itself.

Alerts about devices go from notify to its receivers (Teams, webhooks) at once: only Azure's own services can tell an
action group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_azure_native as azure

from watchkeeper_infra.site import under
from watchkeeper_infra.words import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper_infra.azure.site import Site

SHORT = 12  # letters that Azure writes before a text message


class Alerts(pulumi.ComponentResource):
    """`operations`: whom Azure Monitor tells."""

    def __init__(self, site: Site) -> None:
        super().__init__("watchkeeper:azure:Alerts", site.name("alerts"))
        self.operations = action_group(site, OPERATIONS, under(self), site.config.alert_emails.get(OPERATIONS, ()))
        self.register_outputs({"operations": self.operations.id})


def action_group(
    site: Site,
    name: str,
    options: pulumi.ResourceOptions,
    emails: Sequence[str] = (),
    functions: Sequence[azure.monitor.AzureFunctionReceiverArgs] = (),
    stage: str = "",
) -> azure.monitor.ActionGroup:
    """People and functions who are told together."""
    return azure.monitor.ActionGroup(
        site.name("alerts", name),
        action_group_name=site.name("alerts", name),
        group_short_name=name[:SHORT],
        enabled=True,
        email_receivers=[
            azure.monitor.MicrosoftCommonEmailReceiverArgs(
                name=address, email_address=address, use_common_alert_schema=True
            )
            for address in emails
        ],
        azure_function_receivers=list(functions),
        opts=options,
        **{**site.where(stage), "location": "global"},
    )
