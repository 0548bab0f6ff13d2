"""Listeners: the WebSocket API itself, which functions that push must know before the API's routes to them are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

from watchkeeper_infra.site import under

if TYPE_CHECKING:
    from watchkeeper_infra.aws.site import Site

LIVE = "live"  # the stage


class Listeners(pulumi.ComponentResource):
    """`api` is the API, `url` where its Management API is, `posts` the ARN of all posts to connections."""

    def __init__(self, site: Site) -> None:
        super().__init__("watchkeeper:aws:Listeners", site.name("listeners"))
        self.api = aws.apigatewayv2.Api(
            site.name("socket"),
            name=site.name("socket"),
            protocol_type="WEBSOCKET",
            route_selection_expression="$request.body.action",
            tags=site.tags("api"),
            opts=under(self),
        )
        self.url: pulumi.Output[str] = pulumi.Output.concat(
            "https://", self.api.id, f".execute-api.{site.region}.amazonaws.com/{LIVE}"
        )
        self.posts: pulumi.Output[str] = pulumi.Output.concat(self.api.execution_arn, f"/{LIVE}/POST/@connections/*")
        self.register_outputs({"url": self.url})
