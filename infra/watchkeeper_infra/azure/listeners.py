"""Listeners: Web PubSub, by which dashboards are told of alerts without asking. No key opens it.

With private endpoints who tells comes from inside only; who listens comes from wherever his browser is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_azure_native as azure

from watchkeeper_infra.site import under
from watchkeeper_infra.words import HUB_OF_LISTENERS

if TYPE_CHECKING:
    from watchkeeper_infra.azure.network import Network
    from watchkeeper_infra.azure.site import Site

INSIDE_ONLY = ("RESTAPI", "ServerConnection", "Trace")
"""What only comes by the private endpoint; what is left are the connections of clients."""


class Listeners(pulumi.ComponentResource):
    """`service` is the Web PubSub service, `url` where it is."""

    def __init__(self, site: Site, network: Network) -> None:
        super().__init__("watchkeeper:azure:Listeners", site.name("listeners"))
        size = site.config.web_pubsub
        self.service = azure.webpubsub.WebPubSub(
            site.name("listeners"),
            resource_name_=site.unique("listeners"),
            sku=azure.webpubsub.ResourceSkuArgs(
                name=size, tier=size.partition("_")[0], capacity=site.config.web_pubsub_units
            ),
            disable_local_auth=True,
            tls=azure.webpubsub.WebPubSubTlsSettingsArgs(client_cert_enabled=False),
            public_network_access="Enabled",  # the rules below say for what
            network_acls=_rules() if network.functions is not None else None,
            opts=under(self),
            **site.where("api"),
        )
        azure.webpubsub.WebPubSubHub(
            site.name("listeners"),
            hub_name=HUB_OF_LISTENERS,
            resource_name_=self.service.name,
            resource_group_name=site.group,
            properties=azure.webpubsub.WebPubSubHubPropertiesArgs(anonymous_connect_policy="deny"),
            opts=pulumi.ResourceOptions(parent=self.service),
        )
        network.connect(site, "listeners", "webpubsub", self.service)
        self.url: pulumi.Output[str] = pulumi.Output.concat("https://", self.service.host_name)
        self.register_outputs({"url": self.url})


def _rules() -> azure.webpubsub.WebPubSubNetworkACLsArgs:
    return azure.webpubsub.WebPubSubNetworkACLsArgs(
        default_action="Allow", public_network=azure.webpubsub.NetworkACLArgs(deny=list(INSIDE_ONLY))
    )
