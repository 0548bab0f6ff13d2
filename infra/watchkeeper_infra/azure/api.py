"""Api: whose tokens of people are taken. The requests themselves go to the app `api`.

There is no gateway before it: the application itself checks tokens and keys, and how much it takes is bounded by how
far the app may grow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

if TYPE_CHECKING:
    from watchkeeper_infra.azure.site import Site


class Api(pulumi.ComponentResource):
    """`issuer` and `audience` of tokens."""

    def __init__(self, site: Site) -> None:
        super().__init__("watchkeeper:azure:Api", site.name("api"))
        self.issuer = site.config.issuer or f"https://login.microsoftonline.com/{site.tenant}/v2.0"
        self.audience = site.config.audience
        self.register_outputs({"issuer": self.issuer})
