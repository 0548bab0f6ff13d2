"""A stack on AWS: its components, in the order in which they need one another, and what a person needs of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

from watchkeeper.topology import TOPICS
from watchkeeper_infra.aws.alerts import Alerts
from watchkeeper_infra.aws.api import KEY_HEADER, Api
from watchkeeper_infra.aws.budget_guard import BudgetGuard
from watchkeeper_infra.aws.dashboard import Dashboard
from watchkeeper_infra.aws.device_hub import DeviceHub, example_payload
from watchkeeper_infra.aws.event_stream import EventStream
from watchkeeper_infra.aws.lake import Lake
from watchkeeper_infra.aws.listeners import Listeners
from watchkeeper_infra.aws.network import Network
from watchkeeper_infra.aws.observability import Observability
from watchkeeper_infra.aws.rights import Surroundings
from watchkeeper_infra.aws.site import Site
from watchkeeper_infra.aws.stage_functions import StageFunctions
from watchkeeper_infra.aws.state import State
from watchkeeper_infra.bundles import CODE, LAYERS, built_bundles
from watchkeeper_infra.content import dashboard_folder
from watchkeeper_infra.words import ALIAS, INBOX

if TYPE_CHECKING:
    from pathlib import Path

    from watchkeeper_infra.aws_config import AwsConfig


def build_stack(config: AwsConfig, root: Path) -> None:
    """Build it. StackConfigError: a folder that the configuration names is not as it must be; nothing is made then."""
    bundles = built_bundles(root / config.bundles, (CODE, *LAYERS))
    dashboard_folder(root, config.dashboard_folder)
    region = pulumi.Config("aws").require("region")
    site = Site(config, pulumi.get_stack(), region, root, aws.get_caller_identity_output().account_id)
    network = Network(site)
    state = State(site)
    lake = Lake(site, state.key)
    alerts = Alerts(site)
    stream = EventStream(site, network, state)
    about = Surroundings(site, stream, state, lake, alerts, Listeners(site))
    functions = StageFunctions(about, network, bundles)
    hub = DeviceHub(site, network, stream, state, lake)
    dashboard = Dashboard(site)
    api = Api(about, functions, dashboard.url)
    BudgetGuard(site, alerts, functions.functions["budget_cutoff"])
    Observability(site, functions.functions | {"authorizer": api.authorizer}, hub, alerts)
    _say(site, hub, api, dashboard, lake, stream)


def _say(site: Site, hub: DeviceHub, api: Api, dashboard: Dashboard, lake: Lake, stream: EventStream) -> None:
    """The stack's outputs: where everything is, and the commands to try it."""
    pulumi.export("iotEndpoint", hub.endpoint)
    pulumi.export("apiUrl", api.url)
    pulumi.export("socketUrl", api.socket_url)
    pulumi.export("dashboardUrl", dashboard.url)
    pulumi.export("issuer", api.issuer)
    pulumi.export("audience", api.audience)
    if api.pool is not None:
        pulumi.export("userPool", api.pool.id)
    pulumi.export("topics", list(TOPICS))
    pulumi.export("kafkaBrokers", stream.brokers(site.config.kafka_login))
    pulumi.export("bucket", lake.bucket.bucket)
    pulumi.export("devicePolicy", hub.policy.name)
    pulumi.export("claimPolicy", hub.claim_policy.name)
    pulumi.export("provisioningTemplate", hub.template.name)
    pulumi.export("tryCommands", _commands(site, hub, api, lake))


def _commands(site: Site, hub: DeviceHub, api: Api, lake: Lake) -> dict[str, pulumi.Input[str]]:
    certificate = "--cert device.pem --key device.key --cafile AmazonRootCA1.pem"
    concat = pulumi.Output.concat
    return {
        "publish": concat(
            "mosquitto_pub -h ", hub.endpoint, f" -p 8883 -q 1 {certificate} -i pump-07",
            f" -t devices/pump-07/telemetry -m '{example_payload()}'",
        ),
        "post": concat(
            "curl -sS ", api.url, f"/ingest/realtime -H '{KEY_HEADER}: KEY' -H 'Content-Type: application/json'",
            """ -d '{"device": "pump-07", "values": {"flow": 102.6}}'""",
        ),
        "alerts": concat("curl -sS ", api.url, "/api/alerts -H 'Authorization: Bearer TOKEN'"),
        "file": concat("aws s3 cp readings.csv s3://", lake.bucket.bucket, f"/{INBOX}"),
        "logs": f"aws logs tail /aws/lambda/{site.name('clean')} --follow",
        "rollback": f"aws lambda update-alias --name {ALIAS} --function-name {site.name('clean')} --function-version N",
    }  # fmt: skip
