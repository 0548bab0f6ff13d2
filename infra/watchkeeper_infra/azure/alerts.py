"""Alerts: an action group for each severity and one for what is wrong with Watchkeeper itself, with people behind.

Only Azure's own services can tell an action group. Alerts about devices go from notify to its receivers (Teams,
webhooks) at once; to action groups they come by rules over what notify has logged, minutes later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_azure_native as azure

from watchkeeper.records import Severity
from watchkeeper_infra.site import under
from watchkeeper_infra.words import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watchkeeper_infra.azure.site import Site

SHORT = 12  # letters that Azure writes before a text message


class Alerts(pulumi.ComponentResource):
    """`groups` by severity and `operations`."""

    def __init__(self, site: Site) -> None:
        super().__init__("watchkeeper:azure:Alerts", site.name("alerts"))
        mailed = site.config.alert_emails
        self.groups: Mapping[str, azure.monitor.ActionGroup] = {
            name: action_group(site, name, under(self), mailed.get(name, ())) for name in (*Severity, OPERATIONS)
        }
        self.register_outputs({name: group.id for name, group in self.groups.items()})

    def of_alarm(self, severity: Severity) -> list[pulumi.Output[str]]:
        """Whom an alarm tells: who mends Watchkeeper, and who is told of what is as bad."""
        return [self.groups[OPERATIONS].id, self.groups[severity].id]


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
