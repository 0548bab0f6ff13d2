"""One function app on a Flex Consumption plan of its own: an identity, a storage account, and the package that it runs.

The storage account holds the host's own notes (how far it has read of each hub, who runs a timer, the app's keys) and
the packages. It is the app's alone: whoever can write there can make the app run something else.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pulumi
import pulumi_azure_native as azure

from watchkeeper_infra.azure.lake import storage_account
from watchkeeper_infra.azure.released import Released
from watchkeeper_infra.azure.roles import Grant, assign, stable_id
from watchkeeper_infra.site import under

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watchkeeper_infra.azure.site import Site
    from watchkeeper_infra.azure.state import State
    from watchkeeper_infra.bundles import BuiltBundle

PYTHON = "3.13"
PACKAGES = "packages"  # the container that the platform runs the package from
CONNECTIONS = ("AzureWebJobsStorage", "WatchkeeperEventHubs", "WatchkeeperStorage")
"""What triggers name as the service that they look at; the app comes to each of them with its identity."""
HOST_ROLES = {
    "host-blobs": "Storage Blob Data Owner",
    "host-queues": "Storage Queue Data Contributor",
    "host-tables": "Storage Table Data Contributor",
}
"""What the Functions host needs of its own account, as the vendor says."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """An app to be made. `rows` are roles of Cosmos DB by table; `origins` are web pages that may call it."""

    name: str
    package: BuiltBundle
    memory_mb: int
    settings: Mapping[str, pulumi.Input[str]]
    grants: Sequence[Grant]
    rows: Mapping[str, str]
    always_ready: Mapping[str, int]
    subnet: pulumi.Output[str] | None = None
    origins: Sequence[pulumi.Input[str]] = ()


class OwnApp(pulumi.ComponentResource):
    """`app`, its `identity`, its `host` storage, and the package that is `released` in it.

    `after` are what must be upgraded before it: the consumers of what it emits.
    """

    def __init__(
        self,
        site: Site,
        plan: Plan,
        state: State,
        options: pulumi.ResourceOptions,
        after: Sequence[pulumi.Resource] = (),
    ) -> None:
        super().__init__("watchkeeper:azure:Function", site.name(plan.name), opts=options)
        self._site, self._plan, self._own = site, plan, under(self)
        self.name = plan.name
        self.identity = azure.managedidentity.UserAssignedIdentity(
            site.name(plan.name), resource_name_=site.name(plan.name), opts=self._own, **site.where(plan.name)
        )
        self.host = storage_account(site, plan.name, self._own, stage=plan.name)
        packages = azure.storage.BlobContainer(
            site.name(plan.name, PACKAGES),
            container_name=PACKAGES,
            account_name=self.host.name,
            resource_group_name=site.group,
            public_access=azure.storage.PublicAccess.NONE,
            opts=self._own,
        )
        rights = [*self._rights(state), self._deployer()]
        self.container: pulumi.Output[str] = pulumi.Output.concat(self.host.primary_endpoints.blob, PACKAGES)
        self.app = self._app([packages, *rights])
        self.released = Released(
            site.name(plan.name),
            app=self.app.id,
            container=self.container,
            digest=site.config.packages.get(plan.name, plan.package.hexdigest),
            newest=plan.package.hexdigest,
            path=str(plan.package.path),
            opts=under(self, depends_on=[self.app, *rights, *after]),
        )
        self.register_outputs({"address": self.app.default_host_name})

    def _rights(self, state: State) -> list[pulumi.Resource]:
        site, plan, who = self._site, self._plan, self.identity.principal_id
        own = [Grant(name, role, self.host.id) for name, role in HOST_ROLES.items()]
        given: list[pulumi.Resource] = [assign(site, plan.name, who, g, self) for g in (*own, *plan.grants)]
        for table, role in sorted(plan.rows.items()):
            given.append(
                azure.cosmosdb.SqlResourceSqlRoleAssignment(
                    site.name(plan.name, "rows", table),
                    role_assignment_id=stable_id(site, plan.name, "rows", table),
                    account_name=state.account.name,
                    resource_group_name=site.group,
                    principal_id=who,
                    role_definition_id=pulumi.Output.concat(state.account.id, "/sqlRoleDefinitions/", role),
                    scope=state.scope_of(table),
                    opts=under(self, depends_on=[state.tables[table]]),
                )
            )
        return given

    def _deployer(self) -> pulumi.Resource:
        """Who runs Pulumi puts the package there, by an identity too."""
        upload = Grant("upload", "Storage Blob Data Contributor", self.host.id)
        return assign(self._site, self._plan.name, self._site.deployer, upload, self, person=True)

    def _app(self, after: Sequence[pulumi.Resource]) -> azure.web.WebApp:
        site, plan = self._site, self._plan
        hosted = azure.web.AppServicePlan(
            site.name(plan.name),
            name=site.name(plan.name.replace("_", "-")),
            kind="functionapp",
            reserved=True,
            sku=azure.web.SkuDescriptionArgs(name="FC1", tier="FlexConsumption"),
            opts=self._own,
            **site.where(plan.name),
        )
        as_itself = azure.web.FunctionsDeploymentStorageAuthenticationArgs(
            type="UserAssignedIdentity", user_assigned_identity_resource_id=self.identity.id
        )
        settings = {**self._host_settings(), **plan.settings}
        return azure.web.WebApp(
            site.name(plan.name),
            name=site.unique(plan.name),
            kind="functionapp,linux",
            server_farm_id=hosted.id,
            https_only=True,
            client_affinity_enabled=False,
            key_vault_reference_identity=self.identity.id,
            virtual_network_subnet_id=plan.subnet,
            identity=azure.web.ManagedServiceIdentityArgs(
                type=azure.web.ManagedServiceIdentityType.USER_ASSIGNED, user_assigned_identities=[self.identity.id]
            ),
            function_app_config=azure.web.FunctionAppConfigArgs(
                deployment=azure.web.FunctionsDeploymentArgs(
                    storage=azure.web.FunctionsDeploymentStorageArgs(
                        type="blobContainer", value=self.container, authentication=as_itself
                    )
                ),
                runtime=azure.web.FunctionsRuntimeArgs(name="python", version=PYTHON),
                scale_and_concurrency=azure.web.FunctionsScaleAndConcurrencyArgs(
                    maximum_instance_count=site.config.instances_at_most,
                    instance_memory_mb=plan.memory_mb,
                    always_ready=[
                        azure.web.FunctionsAlwaysReadyConfigArgs(name=name, instance_count=count)
                        for name, count in plan.always_ready.items()
                    ],
                ),
            ),
            site_config=azure.web.SiteConfigArgs(
                app_settings=[azure.web.NameValuePairArgs(name=name, value=settings[name]) for name in settings],
                cors=azure.web.CorsSettingsArgs(allowed_origins=list(plan.origins)) if plan.origins else None,
                ftps_state="Disabled",
                http20_enabled=True,
                min_tls_version="1.2",
                scm_min_tls_version="1.2",
            ),
            opts=under(self, depends_on=list(after)),
            **site.where(plan.name),
        )

    def _host_settings(self) -> dict[str, pulumi.Input[str]]:
        """Who the app is, to whom, and where the host's own storage is.

        The host's id is told, since it would be the app's name after 32 letters.
        """
        endpoints, client = self.host.primary_endpoints, self.identity.client_id
        as_itself: dict[str, pulumi.Input[str]] = {}
        for connection in CONNECTIONS:
            as_itself |= {f"{connection}__credential": "managedidentity", f"{connection}__clientId": client}
        return as_itself | {
            "AZURE_CLIENT_ID": client,
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": pulumi.Output.concat(
                "ClientId=", client, ";Authorization=AAD"
            ),
            "AzureFunctionsWebHost__hostid": f"{self.name.replace('_', '-')}-{self._site.digest}",
            "AzureWebJobsStorage__blobServiceUri": endpoints.blob,
            "AzureWebJobsStorage__queueServiceUri": endpoints.queue,
            "AzureWebJobsStorage__tableServiceUri": endpoints.table,
        }


def address_of(app: azure.web.WebApp) -> pulumi.Output[str]:
    """Where an app is."""
    found: pulumi.Output[str] = pulumi.Output.concat("https://", app.default_host_name)
    return found
