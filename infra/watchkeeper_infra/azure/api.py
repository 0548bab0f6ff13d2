"""Api: whose tokens of people are taken, and Web PubSub for who wants to be told. The requests go to the app `api`.

There is no gateway before it: the application itself checks tokens and keys, and how much it takes is bounded by how
far the app may grow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_azure_native as azure

from watchkeeper_infra.site import under

if TYPE_CHECKING:
    from watchkeeper_infra.azure.site import Site


class Api(pulumi.ComponentResource):
    """`listeners` is the Web PubSub service and `socket` where it is; `issuer` and `audience` of tokens."""

    def __init__(self, site: Site) -> None:
        super().__init__("watchkeeper:azure:Api", site.name("api"))
        size = site.config.web_pubsub
        self.listeners = azure.webpubsub.WebPubSub(
            site.name("listeners"),
            resource_name_=site.unique("listeners"),
            sku=azure.webpubsub.ResourceSkuArgs(name=size, tier=size.partition("_")[0], capacity=1),
            disable_local_auth=True,
            tls=azure.webpubsub.WebPubSubTlsSettingsArgs(client_cert_enabled=False),
            opts=under(self),
            **site.where("api"),
        )
        self.socket: pulumi.Output[str] = pulumi.Output.concat("https://", self.listeners.host_name)
        self.issuer = site.config.issuer or f"https://login.microsoftonline.com/{site.tenant}/v2.0"
        self.audience = site.config.audience
        self.register_outputs({"socket": self.socket, "issuer": self.issuer})
