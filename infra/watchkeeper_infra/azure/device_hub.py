"""DeviceHub: devices on IoT Hub by certificates of their own, and a route that hands what they say to our own stream.

The hub's built-in endpoint takes keys only, so telemetry goes to the hub `device-telemetry`, by an identity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_azure_native as azure

from watchkeeper.topology import DEVICE_TELEMETRY
from watchkeeper_infra.azure.enrolled import Enrolled
from watchkeeper_infra.azure.roles import Grant, assign
from watchkeeper_infra.errors import StackConfigError
from watchkeeper_infra.site import under

if TYPE_CHECKING:
    from pathlib import Path

    from watchkeeper_infra.azure.event_stream import EventStream
    from watchkeeper_infra.azure.site import Site

LINK = "provisioning"  # the one policy with a key, which links the provisioning service to the hub
GROUP = "devices"


class DeviceHub(pulumi.ComponentResource):
    """The `hub` and the `provisioning` service; `address` is where devices connect, `scope` what they say to register.

    Devices have certificates, never keys. The hub itself keeps one key, since the provisioning service can be linked
    by a connection string only; it may register devices, and neither send nor read what they say.
    """

    def __init__(self, site: Site, stream: EventStream) -> None:
        super().__init__("watchkeeper:azure:DeviceHub", site.name("hub"))
        self._site, self._own = site, under(self)
        identity = azure.managedidentity.UserAssignedIdentity(
            site.name("hub"), resource_name_=site.name("hub"), opts=self._own, **site.where("ingest")
        )
        send = Grant("send", "Azure Event Hubs Data Sender", stream.hubs[DEVICE_TELEMETRY.name].id)
        right = assign(site, "hub", identity.principal_id, send, self)
        self.hub = azure.iothub.IotHubResource(
            site.name("hub"),
            resource_name_=site.unique("hub"),
            sku=azure.iothub.IotHubSkuInfoArgs(name=site.config.hub_size, capacity=site.config.hub_units),
            identity=azure.iothub.ArmIdentityArgs(
                type=azure.iothub.ResourceIdentityType.USER_ASSIGNED, user_assigned_identities=[identity.id]
            ),
            properties=azure.iothub.IotHubPropertiesArgs(
                disable_device_sas=True,
                disable_module_sas=True,
                min_tls_version="1.2",
                authorization_policies=[
                    azure.iothub.SharedAccessSignatureAuthorizationRuleArgs(
                        key_name=LINK, rights="RegistryRead, RegistryWrite, ServiceConnect"
                    )
                ],
                routing=_routing(stream, identity.id),
            ),
            opts=site.keeping(self, depends_on=[right]),
            **site.where("ingest"),
        )
        site.lock("hub", self.hub)
        register = Grant("register", "IoT Hub Registry Contributor", self.hub.id)
        assign(site, "hub", site.deployer, register, self, person=True)
        self.address: pulumi.Output[str] = pulumi.Output.concat(self.hub.name, ".azure-devices.net")
        self.provisioning = self._provisioning()
        self.scope: pulumi.Output[str] = self.provisioning.properties.id_scope
        if site.config.device_ca:
            self._enrolment(certificate(site.root / site.config.device_ca, site.config.device_ca))
        self.register_outputs({"address": self.address})

    def _provisioning(self) -> azure.deviceprovisioningservices.IotDpsResource:
        site = self._site
        keys = azure.iothub.list_iot_hub_resource_keys_for_key_name_output(
            key_name=LINK, resource_group_name=site.group, resource_name=self.hub.name
        )
        connection = pulumi.Output.concat(
            "HostName=", self.address, f";SharedAccessKeyName={LINK};SharedAccessKey=", keys.primary_key
        )
        return azure.deviceprovisioningservices.IotDpsResource(
            site.name("provisioning"),
            provisioning_service_name=site.unique("provisioning"),
            sku=azure.deviceprovisioningservices.IotDpsSkuInfoArgs(name="S1", capacity=1),
            properties=azure.deviceprovisioningservices.IotDpsPropertiesDescriptionArgs(
                allocation_policy="Hashed",
                iot_hubs=[
                    azure.deviceprovisioningservices.IotHubDefinitionDescriptionArgs(
                        connection_string=pulumi.Output.secret(connection), location=site.region
                    )
                ],
            ),
            opts=site.keeping(self),
            **site.where("ingest"),
        )

    def _enrolment(self, authority: str) -> None:
        site = self._site
        grant = Grant("enrol", "Device Provisioning Service Data Contributor", self.provisioning.id)
        right = assign(site, "provisioning", site.deployer, grant, self, person=True)
        service = pulumi.Output.concat("https://", self.provisioning.name, ".azure-devices-provisioning.net")
        Enrolled(
            site.name("enrolment"),
            service=service,
            group=GROUP,
            authority=authority,
            opts=under(self, depends_on=[right]),
        )


def certificate(file: Path, named: str) -> str:
    """An authority's certificate. StackConfigError: the file has none."""
    text = file.read_text("utf-8") if file.is_file() else ""
    if "BEGIN CERTIFICATE" not in text or "PRIVATE KEY" in text:
        message = f"watchkeeper:deviceCa: {named!r} is not allowed; a PEM file with one certificate, and no key"
        raise StackConfigError([message])
    return text


def _routing(stream: EventStream, identity: pulumi.Output[str]) -> azure.iothub.RoutingPropertiesArgs:
    """Everything to our own hub, and nothing anywhere else: what has no way is counted, and people are told."""
    name = DEVICE_TELEMETRY.name
    return azure.iothub.RoutingPropertiesArgs(
        endpoints=azure.iothub.RoutingEndpointsArgs(
            event_hubs=[
                azure.iothub.RoutingEventHubPropertiesArgs(
                    name=name,
                    authentication_type="identityBased",
                    endpoint_uri=pulumi.Output.concat("sb://", stream.address),
                    entity_path=stream.hubs[name].name,
                    identity=azure.iothub.ManagedIdentityArgs(user_assigned_identity=identity),
                )
            ]
        ),
        routes=[
            azure.iothub.RoutePropertiesArgs(
                name="telemetry", source="DeviceMessages", condition="true", endpoint_names=[name], is_enabled=True
            )
        ],
        fallback_route=azure.iothub.FallbackRoutePropertiesArgs(
            name="fallback", source="DeviceMessages", condition="true", endpoint_names=["events"], is_enabled=False
        ),
    )
