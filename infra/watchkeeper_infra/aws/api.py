"""Api: HTTP for people (tokens of an OpenID Connect issuer) and machines (keys), WebSocket for who wants to be told."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

from watchkeeper_infra.aws.function import OwnFunction, Plan
from watchkeeper_infra.aws.listeners import LIVE
from watchkeeper_infra.aws.rights import authorizer_rights
from watchkeeper_infra.functions import FUNCTIONS
from watchkeeper_infra.site import under
from watchkeeper_infra.words import NAMESPACE_OF_METRICS

if TYPE_CHECKING:
    from watchkeeper_infra.aws.rights import Surroundings
    from watchkeeper_infra.aws.stage_functions import StageFunctions

SERVICE = "apigateway.amazonaws.com"
FOR_PEOPLE = ("ANY /api/{proxy+}",)
FOR_MACHINES = ("ANY /ingest/{proxy+}", "ANY /v1/{proxy+}", "GET /metrics")
FOR_ALL = ("GET /health",)
SOCKET_ROUTES = ("$connect", "$disconnect", "$default")
KEY_HEADER = "X-API-Key"
DECIDED_FOR_S = 60  # how long the gateway remembers what the authorizer said: so long a revoked key still works
LOG_FORMAT = json.dumps(
    {
        "requestId": "$context.requestId",
        "routeKey": "$context.routeKey",
        "status": "$context.status",
        "latency": "$context.responseLatency",
        "error": "$context.error.message",
        "principal": "$context.authorizer.principalId",
    }
)


class Api(pulumi.ComponentResource):
    """`http` and `socket` are the APIs, `url` and `socket_url` where they are; `issuer` and `audience` of tokens."""

    def __init__(self, about: Surroundings, functions: StageFunctions, origin: pulumi.Input[str]) -> None:
        super().__init__("watchkeeper:aws:Api", about.site.name("api"))
        self._site, self._about, self._own = about.site, about, under(self)
        self._backend = functions.functions["api"]
        self._issuer(origin)
        self.authorizer = OwnFunction(
            self._site,
            Plan(
                "authorizer",
                "watchkeeper_aws.handlers.authorizer.handler",
                functions.code,
                functions.layers["web"].arn,
                FUNCTIONS["api"].memory_mb,
                5,
                {
                    "WATCHKEEPER_STACK": self._site.stack,
                    "WATCHKEEPER_TABLE_PREFIX": self._site.name(""),
                    "WATCHKEEPER_ISSUER": self.issuer,
                    "WATCHKEEPER_AUDIENCE": self.audience,
                    "POWERTOOLS_SERVICE_NAME": "authorizer",
                    "POWERTOOLS_METRICS_NAMESPACE": NAMESPACE_OF_METRICS,
                    "POWERTOOLS_LOG_LEVEL": self._site.config.log_level.upper(),
                },
                lambda logs: authorizer_rights(self._site, about.state, logs),
            ),
            about.state.key,
            self._own,
        )
        self.http = self._http(origin)
        self.socket = self._socket()
        self.register_outputs({"url": self.url, "socketUrl": self.socket_url})

    def _issuer(self, origin: pulumi.Input[str]) -> None:
        """Whose tokens are taken: the configured issuer's, or a user pool of our own.

        Access tokens of Cognito carry `client_id` where others carry `aud`; the gateway looks at both.
        """
        site, config = self._site, self._site.config
        self.pool: aws.cognito.UserPool | None = None
        self.issuer: pulumi.Input[str] = config.issuer
        self.audience: pulumi.Input[str] = config.audience
        if config.issuer:
            return
        self.pool = aws.cognito.UserPool(
            site.name("people"),
            name=site.name("people"),
            admin_create_user_config=aws.cognito.UserPoolAdminCreateUserConfigArgs(allow_admin_create_user_only=True),
            auto_verified_attributes=["email"],
            username_attributes=["email"],
            mfa_configuration="OPTIONAL",
            software_token_mfa_configuration=aws.cognito.UserPoolSoftwareTokenMfaConfigurationArgs(enabled=True),
            password_policy=aws.cognito.UserPoolPasswordPolicyArgs(
                minimum_length=14, temporary_password_validity_days=7
            ),
            deletion_protection="ACTIVE" if config.protect else "INACTIVE",
            tags=site.tags("api"),
            opts=site.keeping(self),
        )
        inside = pulumi.ResourceOptions(parent=self.pool)
        client = aws.cognito.UserPoolClient(
            site.name("people"),
            name="dashboard",
            user_pool_id=self.pool.id,
            generate_secret=False,  # it runs in a browser
            allowed_oauth_flows=["code"],
            allowed_oauth_flows_user_pool_client=True,
            allowed_oauth_scopes=["openid", "email"],
            callback_urls=[pulumi.Output.concat(origin, "/")],
            supported_identity_providers=["COGNITO"],
            prevent_user_existence_errors="ENABLED",
            opts=inside,
        )
        aws.cognito.UserPoolDomain(
            site.name("people"),
            domain=pulumi.Output.concat(f"watchkeeper-{_digest(site.stack)}-", site.account),
            user_pool_id=self.pool.id,
            opts=inside,
        )
        self.issuer = pulumi.Output.concat("https://", self.pool.endpoint)
        self.audience = client.id

    def _http(self, origin: pulumi.Input[str]) -> aws.apigatewayv2.Api:
        site, config = self._site, self._site.config
        api = aws.apigatewayv2.Api(
            site.name("http"),
            name=site.name("http"),
            protocol_type="HTTP",
            cors_configuration=aws.apigatewayv2.ApiCorsConfigurationArgs(
                allow_origins=[origin],
                allow_methods=["*"],
                allow_headers=["authorization", "content-type"],
                max_age=600,
            ),
            tags=site.tags("api"),
            opts=self._own,
        )
        people = aws.apigatewayv2.Authorizer(
            site.name("people"),
            api_id=api.id,
            name="people",
            authorizer_type="JWT",
            identity_sources=["$request.header.Authorization"],
            jwt_configuration=aws.apigatewayv2.AuthorizerJwtConfigurationArgs(
                issuer=self.issuer, audiences=[self.audience]
            ),
            opts=self._own,
        )
        machines = self._request_authorizer(
            "machines", api, [f"$request.header.{KEY_HEADER}"], enable_simple_responses=True
        )
        target = self._integration("http", api, "2.0")
        by = {"CUSTOM": (FOR_MACHINES, machines.id), "JWT": (FOR_PEOPLE, people.id), "NONE": (FOR_ALL, None)}
        for kind, (routes, authorizer) in by.items():
            for route in routes:
                self._route(api, route, target, kind, authorizer)
        throttle = aws.apigatewayv2.StageDefaultRouteSettingsArgs(
            throttling_rate_limit=config.requests_per_second,
            throttling_burst_limit=config.request_burst,
            detailed_metrics_enabled=True,
        )
        self._stage("http", api, "$default", throttle)
        self.url: pulumi.Output[str] = api.api_endpoint
        return api

    def _socket(self) -> aws.apigatewayv2.Api:
        """Who listens is kept in a table with a time to live; a connection ends after 2 h, or 10 quiet minutes."""
        config = self._site.config
        api = self._about.listeners.api
        # A browser cannot set a header for a WebSocket: the token comes in the query.
        listener = self._request_authorizer("listeners", api, ["route.request.querystring.token"])
        target = self._integration("socket", api, None)
        for route in SOCKET_ROUTES:
            guarded = route == "$connect"
            self._route(api, route, target, "CUSTOM" if guarded else "NONE", listener.id if guarded else None)
        throttle = aws.apigatewayv2.StageDefaultRouteSettingsArgs(
            throttling_rate_limit=config.requests_per_second, throttling_burst_limit=config.request_burst
        )
        stage = self._stage("socket", api, LIVE, throttle)
        self.socket_url: pulumi.Output[str] = stage.invoke_url
        return api

    def _request_authorizer(
        self, name: str, api: aws.apigatewayv2.Api, sources: list[str], *, enable_simple_responses: bool | None = None
    ) -> aws.apigatewayv2.Authorizer:
        simple = enable_simple_responses is not None
        made = aws.apigatewayv2.Authorizer(
            self._site.name(name),
            api_id=api.id,
            name=name,
            authorizer_type="REQUEST",
            authorizer_uri=self.authorizer.alias.invoke_arn,
            authorizer_payload_format_version="2.0" if simple else None,
            authorizer_result_ttl_in_seconds=DECIDED_FOR_S if simple else None,
            enable_simple_responses=enable_simple_responses,
            identity_sources=sources,
            opts=self._own,
        )
        source = pulumi.Output.concat(api.execution_arn, "/authorizers/", made.id)
        self.authorizer.permit(name, SERVICE, source, self._site)
        return made

    def _integration(self, name: str, api: aws.apigatewayv2.Api, version: str | None) -> pulumi.Output[str]:
        made = aws.apigatewayv2.Integration(
            self._site.name(name),
            api_id=api.id,
            integration_type="AWS_PROXY",
            integration_method="POST",
            integration_uri=self._backend.alias.invoke_arn,
            payload_format_version=version,
            opts=self._own,
        )
        self._backend.permit(name, SERVICE, pulumi.Output.concat(api.execution_arn, "/*"), self._site)
        target: pulumi.Output[str] = pulumi.Output.concat("integrations/", made.id)
        return target

    def _route(
        self,
        api: aws.apigatewayv2.Api,
        route: str,
        target: pulumi.Output[str],
        kind: str,
        authorizer: pulumi.Output[str] | None,
    ) -> None:
        aws.apigatewayv2.Route(
            self._site.name(route),
            api_id=api.id,
            route_key=route,
            target=target,
            authorization_type=kind,
            authorizer_id=authorizer,
            opts=self._own,
        )

    def _stage(
        self, name: str, api: aws.apigatewayv2.Api, stage: str, throttle: aws.apigatewayv2.StageDefaultRouteSettingsArgs
    ) -> aws.apigatewayv2.Stage:
        site = self._site
        return aws.apigatewayv2.Stage(
            site.name(name),
            api_id=api.id,
            name=stage,
            auto_deploy=True,
            default_route_settings=throttle,
            access_log_settings=self._log(name) if name == "http" else None,
            tags=site.tags("api"),
            opts=self._own,
        )

    def _log(self, name: str) -> aws.apigatewayv2.StageAccessLogSettingsArgs:
        """A line for each request. For WebSocket the gateway would need a role that all stacks of an account share."""
        site = self._site
        logs = aws.cloudwatch.LogGroup(
            site.name(name),
            name=f"/watchkeeper/{site.stack}/{name}",
            retention_in_days=site.config.log_days,
            kms_key_id=self._about.state.key.arn,
            tags=site.tags("api"),
            opts=self._own,
        )
        return aws.apigatewayv2.StageAccessLogSettingsArgs(destination_arn=logs.arn, format=LOG_FORMAT)


def _digest(stack: str) -> str:
    """A stack's name as part of a domain of Cognito, which refuses words like aws."""
    return hashlib.sha256(stack.encode()).hexdigest()[:8]
