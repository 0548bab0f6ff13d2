"""Dashboard: a Static Web App, uploaded by `pulumi up` whenever the folder's content has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_azure_native as azure

from watchkeeper_infra.azure.uploaded import Uploaded
from watchkeeper_infra.content import digest_of
from watchkeeper_infra.site import under

if TYPE_CHECKING:
    from watchkeeper_infra.azure.site import Site


class Dashboard(pulumi.ComponentResource):
    """`url` is where people look; `upload` makes it be there."""

    def __init__(self, site: Site) -> None:
        super().__init__("watchkeeper:azure:Dashboard", site.name("dashboard"))
        own, config = under(self), site.config
        page = azure.web.StaticSite(
            site.name("dashboard"),
            name=site.name("dashboard"),
            sku=azure.web.SkuDescriptionArgs(name=config.dashboard_size, tier=config.dashboard_size),
            allow_config_file_updates=True,
            staging_environment_policy=azure.web.StagingEnvironmentPolicy.DISABLED,
            opts=own,
            **{**site.where(), "location": config.dashboard_region},
        )
        self.url: pulumi.Output[str] = pulumi.Output.concat("https://", page.default_hostname)
        secrets = azure.web.list_static_site_secrets_output(name=page.name, resource_group_name=site.group)
        folder = site.root / config.dashboard_folder
        self.upload = Uploaded(
            site.name("dashboard"),
            site=page.id,
            folder=str(folder),
            digest=digest_of(folder),
            token=pulumi.Output.secret(secrets.properties.apply(lambda values: (values or {}).get("apiKey", ""))),
            opts=own,
        )
        self.register_outputs({"url": self.url})
