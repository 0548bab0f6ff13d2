"""Dashboard: static pages on Amplify, uploaded by `pulumi up` whenever the folder's content has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

from watchkeeper_infra.aws.amplify_upload import Upload
from watchkeeper_infra.content import digest_of
from watchkeeper_infra.site import under

if TYPE_CHECKING:
    from watchkeeper_infra.aws.site import Site

BRANCH = "live"
HEADERS = """\
customHeaders:
  - pattern: '**'
    headers:
      - {key: Strict-Transport-Security, value: max-age=31536000; includeSubDomains}
      - {key: X-Content-Type-Options, value: nosniff}
      - {key: X-Frame-Options, value: DENY}
      - {key: Referrer-Policy, value: no-referrer}
"""


class Dashboard(pulumi.ComponentResource):
    """`url` is where people look; `upload` makes it be there."""

    def __init__(self, site: Site) -> None:
        super().__init__("watchkeeper:aws:Dashboard", site.name("dashboard"))
        own = under(self)
        app = aws.amplify.App(
            site.name("dashboard"),
            name=site.name("dashboard"),
            description="The dashboard of Watchkeeper",
            platform="WEB",
            custom_headers=HEADERS,
            tags=site.tags(),
            opts=own,
        )
        branch = aws.amplify.Branch(
            site.name("dashboard"),
            app_id=app.id,
            branch_name=BRANCH,
            stage="PRODUCTION",
            enable_auto_build=False,
            tags=site.tags(),
            opts=own,
        )
        self.url: pulumi.Output[str] = pulumi.Output.concat("https://", BRANCH, ".", app.default_domain)
        folder = site.root / site.config.dashboard_folder
        self.upload = Upload(
            site.name("dashboard"),
            app_id=app.id,
            branch=branch.branch_name,
            folder=str(folder),
            digest=digest_of(folder),
            region=site.region,
            opts=own,
        )
        self.register_outputs({"url": self.url})
