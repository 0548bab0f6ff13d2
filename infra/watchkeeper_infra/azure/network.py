"""Network: the resource group that all is in and, if so configured, a network with private endpoints to what is stored.

Without private endpoints what is stored is reached by public addresses, by TLS, and with an identity that has a right
to it: there are no keys and no passwords that would open it.
"""

from __future__ import annotations

import ipaddress

import pulumi
import pulumi_azure_native as azure

from watchkeeper_infra.azure.site import Site
from watchkeeper_infra.site import under

SUBNETS = 8  # the network is divided into so many
FLEX = "Microsoft.App/environments"  # whom Flex Consumption lets join a subnet
ZONES = {
    "blob": "privatelink.blob.core.windows.net",
    "namespace": "privatelink.servicebus.windows.net",
    "Sql": "privatelink.documents.azure.com",
    "vault": "privatelink.vaultcore.azure.net",
    "webpubsub": "privatelink.webpubsub.azure.com",
}
"""The private zone of names by what a private endpoint leads to, as Azure calls it."""


class Network(pulumi.ComponentResource):
    """`group_name` is the resource group; `functions` the subnet that functions join, None without one."""

    def __init__(self, site: Site) -> None:
        super().__init__("watchkeeper:azure:Network", site.name("network"))
        self._own = under(self)
        group = azure.resources.ResourceGroup(
            site.name("group"),
            resource_group_name=site.name(),
            location=site.region,
            tags=site.tags(),
            opts=site.keeping(self),
        )
        self.group_name: pulumi.Output[str] = group.name
        self.functions: pulumi.Output[str] | None = None
        if site.config.private_endpoints:
            self._private(site)
        self.register_outputs({"group": self.group_name})

    @property
    def public(self) -> str:
        """Whether what is stored has a public address."""
        return "Disabled" if self.functions is not None else "Enabled"

    def connect(self, site: Site, name: str, leads_to: str, resource: pulumi.CustomResource) -> None:
        """A private endpoint to a resource, with its name, if the stack has private endpoints."""
        if self.functions is None:
            return
        inside = pulumi.ResourceOptions(parent=resource)
        endpoint = azure.network.PrivateEndpoint(
            site.name("endpoint", name),
            private_endpoint_name=site.name("endpoint", name),
            subnet=azure.network.SubnetArgs(id=self._endpoints),
            private_link_service_connections=[
                azure.network.PrivateLinkServiceConnectionArgs(
                    name=name, private_link_service_id=resource.id, group_ids=[leads_to]
                )
            ],
            opts=inside,
            **site.where(),
        )
        azure.network.PrivateDnsZoneGroup(
            site.name("endpoint", name),
            private_dns_zone_group_name="default",
            private_endpoint_name=endpoint.name,
            resource_group_name=site.group,
            private_dns_zone_configs=[
                azure.network.PrivateDnsZoneConfigArgs(name=name, private_dns_zone_id=self._zones[leads_to])
            ],
            opts=inside,
        )

    def _private(self, site: Site) -> None:
        in_group = {"resource_group_name": self.group_name}
        placed = in_group | {"location": site.region, "tags": site.tags()}
        self._vnet = azure.network.VirtualNetwork(
            site.name("network"),
            virtual_network_name=site.name("network"),
            address_space=azure.network.AddressSpaceArgs(address_prefixes=[site.config.cidr]),
            opts=self._own,
            **placed,
        )
        address = azure.network.PublicIPAddress(
            site.name("way-out"),
            public_ip_address_name=site.name("way-out"),
            sku=azure.network.PublicIPAddressSkuArgs(name="Standard"),
            public_ip_allocation_method="Static",
            opts=self._own,
            **placed,
        )
        way_out = azure.network.NatGateway(
            site.name("way-out"),
            nat_gateway_name=site.name("way-out"),
            sku=azure.network.NatGatewaySkuArgs(name="Standard"),
            public_ip_addresses=[azure.network.SubResourceArgs(id=address.id)],
            opts=self._own,
            **placed,
        )
        network = ipaddress.IPv4Network(site.config.cidr)
        blocks = [str(block) for block in network.subnets(prefixlen_diff=SUBNETS.bit_length() - 1)]
        self.functions = self._subnet(site, "functions", blocks[0], way_out)
        self._endpoints = self._subnet(site, "endpoints", blocks[1], None)
        self._zones = {leads_to: self._zone(site, zone) for leads_to, zone in ZONES.items()}

    def _subnet(
        self, site: Site, name: str, block: str, way_out: azure.network.NatGateway | None
    ) -> pulumi.Output[str]:
        """The one with a way out is the functions': to webhooks, models and Application Insights."""
        made = azure.network.Subnet(
            site.name(name),
            subnet_name=name,
            virtual_network_name=self._vnet.name,
            resource_group_name=self.group_name,
            address_prefix=block,
            default_outbound_access=False,
            nat_gateway=azure.network.SubResourceArgs(id=way_out.id) if way_out else None,
            delegations=[azure.network.DelegationArgs(name="functions", service_name=FLEX)] if way_out else None,
            opts=self._own,
        )
        subnet: pulumi.Output[str] = made.id
        return subnet

    def _zone(self, site: Site, zone: str) -> pulumi.Output[str]:
        made = azure.privatedns.PrivateZone(
            site.name(zone),
            private_zone_name=zone,
            resource_group_name=self.group_name,
            location="global",
            tags=site.tags(),
            opts=self._own,
        )
        azure.privatedns.VirtualNetworkLink(
            site.name(zone),
            virtual_network_link_name="network",
            private_zone_name=made.name,
            resource_group_name=self.group_name,
            location="global",
            registration_enabled=False,
            virtual_network=azure.privatedns.SubResourceArgs(id=self._vnet.id),
            tags=site.tags(),
            opts=self._own,
        )
        made_id: pulumi.Output[str] = made.id
        return made_id
