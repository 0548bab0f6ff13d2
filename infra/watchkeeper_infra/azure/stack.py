"""A stack on Azure: its components, in the order in which they need one another, and what a person needs of it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pulumi
import pulumi_azure_native as azure

from watchkeeper.topology import TOPICS
from watchkeeper_infra.azure.alerts import Alerts
from watchkeeper_infra.azure.api import Api
from watchkeeper_infra.azure.app import address_of
from watchkeeper_infra.azure.budget_guard import BudgetGuard
from watchkeeper_infra.azure.dashboard import Dashboard
from watchkeeper_infra.azure.device_hub import DeviceHub, certificate
from watchkeeper_infra.azure.event_stream import EventStream
from watchkeeper_infra.azure.lake import CONTAINER, Lake
from watchkeeper_infra.azure.listeners import Listeners
from watchkeeper_infra.azure.network import Network
from watchkeeper_infra.azure.observability import Observability
from watchkeeper_infra.azure.rights import Surroundings
from watchkeeper_infra.azure.site import Site
from watchkeeper_infra.azure.stage_functions import StageFunctions
from watchkeeper_infra.azure.state import State
from watchkeeper_infra.bundles import LAYERS, built_bundles
from watchkeeper_infra.content import dashboard_folder
from watchkeeper_infra.words import INBOX

if TYPE_CHECKING:
    from pathlib import Path

    from watchkeeper_infra.azure_config import AzureConfig


def build_stack(config: AzureConfig, root: Path) -> None:
    """Build it. StackConfigError: a folder that the configuration names is not as it must be; nothing is made then."""
    bundles = built_bundles(root / config.bundles, LAYERS)
    dashboard_folder(root, config.dashboard_folder)
    if config.device_ca:
        certificate(root / config.device_ca, config.device_ca)
    region = pulumi.Config("azure-native").require("location")
    who = azure.authorization.get_client_config()
    site = Site(config, pulumi.get_stack(), region, root, who.subscription_id, who.tenant_id, who.object_id)
    network = Network(site)
    site = dataclasses.replace(site, group=network.group_name)
    seen = Observability(site)
    stream = EventStream(site, network)
    state = State(site, network)
    lake = Lake(site, network)
    dashboard = Dashboard(site)
    api = Api(site)
    listeners = Listeners(site, network)
    about = Surroundings(site, network, stream, state, lake, api, listeners, seen)
    functions = StageFunctions(about, bundles, dashboard.url)
    hub = DeviceHub(site, stream)
    alerts = Alerts(site)
    BudgetGuard(site, functions.functions["budget_cutoff"])
    url = address_of(functions.functions["api"].app)
    seen.watch(stream, state, hub, alerts, url)
    pulumi.export("socketUrl", listeners.url)
    _say(site, hub, api, dashboard, lake, seen, url)


def _say(
    site: Site, hub: DeviceHub, api: Api, dashboard: Dashboard, lake: Lake, seen: Observability, url: pulumi.Output[str]
) -> None:
    """The stack's outputs: where everything is, and the commands to try it."""
    pulumi.export("iotHub", hub.address)
    pulumi.export("idScope", hub.scope)
    pulumi.export("apiUrl", url)
    pulumi.export("dashboardUrl", dashboard.url)
    pulumi.export("issuer", api.issuer)
    pulumi.export("audience", api.audience)
    pulumi.export("topics", list(TOPICS))
    pulumi.export("resourceGroup", site.group)
    pulumi.export("storageAccount", lake.account.name)
    pulumi.export("tryCommands", _commands(site, hub, lake, seen, url))


def _commands(
    site: Site, hub: DeviceHub, lake: Lake, seen: Observability, url: pulumi.Output[str]
) -> dict[str, pulumi.Input[str]]:
    concat = pulumi.Output.concat
    app, group = site.unique("clean"), site.group
    return {
        "register": concat(
            "az iot hub device-identity create --device-id pump-07 --auth-method x509_ca --auth-type login",
            " --hub-name ", hub.hub.name,
        ),
        "publish": concat(
            "mosquitto_pub -h ", hub.address, " -p 8883 -q 1 --cert device.pem --key device.key -i pump-07",
            " -u '", hub.address, "/pump-07/?api-version=2021-04-12' --capath /etc/ssl/certs",
            """ -t devices/pump-07/messages/events/ -m '{"values": {"flow": 102.5, "vibration": 8.9}}'""",
        ),
        "post": concat(
            "curl -sS ", url, "/ingest/realtime -H 'X-API-Key: KEY' -H 'Content-Type: application/json'",
            """ -d '{"device": "pump-07", "values": {"flow": 102.6}}'""",
        ),
        "alerts": concat("curl -sS ", url, "/api/alerts -H 'Authorization: Bearer TOKEN'"),
        "file": concat(
            "az storage blob upload --auth-mode login --account-name ", lake.account.name,
            f" --container-name {CONTAINER} --name {INBOX}default/readings.csv --file readings.csv",
        ),
        "newKey": concat(
            "curl -sS -X POST ", url, "/command -H 'x-functions-key: APPKEY'",
            """ -d '{"command": "new-key", "name": "line-3"}'""",
        ),
        "appKey": concat(
            "az functionapp keys list --query functionKeys.default --output tsv --name ", site.unique("api"),
            " --resource-group ", group,
        ),
        "logs": concat(
            "az monitor log-analytics query --workspace ", seen.workspace.customer_id,
            f""" --analytics-query "AppTraces | where AppRoleName =~ '{app}' | top 50 by TimeGenerated\"""",
        ),
        "stop": concat("az functionapp stop --name ", app, " --resource-group ", group),
        "packages": concat(
            "az storage blob list --auth-mode login --container-name packages --query '[].name' --account-name ",
            site.short("clean"),
        ),
    }  # fmt: skip
