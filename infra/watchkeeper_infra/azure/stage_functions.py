"""StageFunctions: an app for each row of the pipeline's table, with rights of its own; its code has the triggers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_azure_native as azure

from watchkeeper_infra.azure.app import OwnApp, Plan
from watchkeeper_infra.azure.lake import CONTAINER
from watchkeeper_infra.azure.rights import grants_of, reaches_listeners, rows_of
from watchkeeper_infra.azure.state import DATABASE
from watchkeeper_infra.functions import FUNCTIONS, consumers_first
from watchkeeper_infra.site import under
from watchkeeper_infra.sizes import MEMORY_MB
from watchkeeper_infra.words import FILES_FUNCTION, INBOX, LEARNS, MODEL, RECEIVERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watchkeeper_infra.azure.rights import Surroundings
    from watchkeeper_infra.bundles import BuiltBundle
    from watchkeeper_infra.functions import FunctionSpec

EVENT_HUBS = "AzureFunctionsJobHost__extensions__eventHubs"
SECRETS = {"receivers": RECEIVERS, "language_model": MODEL}  # by what a function uses
DAY_MINUTES, TRIES = 1440, 30  # how long, and how often, Event Grid tries to tell of a file


class StageFunctions(pulumi.ComponentResource):
    """`functions` by stage, in the order in which they are upgraded."""

    def __init__(self, about: Surroundings, bundles: Mapping[str, BuiltBundle], origin: pulumi.Input[str]) -> None:
        super().__init__("watchkeeper:azure:StageFunctions", about.site.name("functions"))
        self._about, self._site, self._origin = about, about.site, origin
        self.functions: dict[str, OwnApp] = {}
        for function in consumers_first(FUNCTIONS.values()):
            self.functions[function.name] = self._function(function, bundles[function.bundle])
        self._files()
        self.register_outputs({name: function.app.id for name, function in self.functions.items()})

    def _function(self, function: FunctionSpec, package: BuiltBundle) -> OwnApp:
        site, about, config = self._site, self._about, self._site.config
        ready = config.always_ready.get(function.name, 0)
        return OwnApp(
            site,
            Plan(
                name=function.name,
                package=package,
                memory_mb=config.memory_mb.get(function.name, MEMORY_MB[function.bundle]),
                settings=self._settings(function),
                grants=grants_of(function, about),
                rows=rows_of(function),
                always_ready=dict.fromkeys(scaled(function), ready) if ready else {},
                subnet=about.network.functions,
                origins=[self._origin] if function.bundle == "web" else [],
            ),
            about.state,
            under(self),
            [self.functions[o].released for o in self.functions if set(FUNCTIONS[o].topics) & set(function.emits)],
        )

    def _settings(self, function: FunctionSpec) -> dict[str, pulumi.Input[str]]:
        """What an app is told; secrets by their names only. Its triggers find their services by `Watchkeeper…__`."""
        site, about, config = self._site, self._about, self._site.config
        told: dict[str, pulumi.Input[str]] = {
            "WATCHKEEPER_STAGE": function.name,
            "WATCHKEEPER_STACK": site.stack,
            "WATCHKEEPER_EVENT_HUBS": about.stream.address,
            "WATCHKEEPER_COSMOS": about.state.account.document_endpoint,
            "WATCHKEEPER_COSMOS_DATABASE": DATABASE,
            "WATCHKEEPER_STORAGE": about.lake.uri,
            "WATCHKEEPER_BLOB_CONTAINER": CONTAINER,
            "WATCHKEEPER_SHARDS": str(config.shards),
            "WATCHKEEPER_PARTITIONS": str(config.partitions),
            "WatchkeeperEventHubs__fullyQualifiedNamespace": about.stream.address,
            "WatchkeeperStorage__blobServiceUri": about.lake.uri,
            "AzureFunctionsJobHost__logging__logLevel__default": config.log_level.capitalize(),
            "AzureFunctionsJobHost__logging__logLevel__Function": "Information",  # each invocation says its counts
            "APPLICATIONINSIGHTS_CONNECTION_STRING": about.seen.insights.connection_string,
            **self._batches(function),
        }
        if any(use in function.uses and name in about.state.secrets for use, name in SECRETS.items()):
            told["WATCHKEEPER_KEY_VAULT"] = about.state.vault.properties.vault_uri
        if "receivers" in function.uses and RECEIVERS in about.state.secrets:
            told["WATCHKEEPER_RECEIVERS_SECRET"] = RECEIVERS
        if "language_model" in function.uses and config.model != "none":
            told |= {
                "WATCHKEEPER_MODEL_NAME": config.model_name,
                "WATCHKEEPER_MODEL_URL": config.model_url or "https://api.openai.com/v1",
            }
            if config.model_account:
                told["WATCHKEEPER_MODEL_LOGIN"] = "identity"
            else:
                told["WATCHKEEPER_MODEL_SECRET"] = MODEL
            if config.model == "azure" and config.model_api_version:
                told["WATCHKEEPER_MODEL_API_VERSION"] = config.model_api_version
        if "meter" in function.uses:
            told["WATCHKEEPER_BUDGET"] = f"{config.budget:g}"
        if reaches_listeners(function):
            told["WATCHKEEPER_WEB_PUBSUB"] = about.listeners.url
        if function.name == LEARNS:
            told["WATCHKEEPER_SHADOW_HOURS"] = str(config.shadow_hours)
        if function.bundle == "web":
            told |= {"WATCHKEEPER_ISSUER": about.api.issuer, "WATCHKEEPER_AUDIENCE": about.api.audience}
        return told

    def _batches(self, function: FunctionSpec) -> dict[str, pulumi.Input[str]]:
        """How batches are cut, instead of what `host.json` says; a wait counts only where more than one is awaited."""
        config = self._site.config
        if not function.topics:
            return {}
        raw = any(topic.carries == "raw" for topic in function.topics)
        most = config.raw_batch_size if raw else config.batch_size
        settings: dict[str, pulumi.Input[str]] = {
            f"{EVENT_HUBS}__maxEventBatchSize": str(most),
            f"{EVENT_HUBS}__prefetchCount": str(2 * most),  # the batch that is filled, and the one after it
        }
        if config.batch_wait_seconds and most > 1:
            minutes, seconds = divmod(config.batch_wait_seconds, 60)
            settings |= {
                f"{EVENT_HUBS}__minEventBatchSize": str(most),
                f"{EVENT_HUBS}__maxWaitTime": f"00:{minutes:02d}:{seconds:02d}",
            }
        return settings

    def _files(self) -> None:
        """Files in the inbox go to ingest, which Event Grid tells of them: nothing else is known to this plan."""
        site, lake, ingest = self._site, self._about.lake, self.functions["ingest"]
        topic = azure.eventgrid.SystemTopic(
            site.name("files"),
            system_topic_name=site.name("files"),
            source=lake.account.id,
            topic_type="Microsoft.Storage.StorageAccounts",
            opts=under(self),
            **site.where("ingest"),
        )
        azure.eventgrid.SystemTopicEventSubscription(
            site.name("files"),
            event_subscription_name="files",
            system_topic_name=topic.name,
            resource_group_name=site.group,
            event_delivery_schema="EventGridSchema",
            destination=azure.eventgrid.AzureFunctionEventSubscriptionDestinationArgs(
                endpoint_type="AzureFunction",
                resource_id=pulumi.Output.concat(ingest.app.id, "/functions/", FILES_FUNCTION),
                max_events_per_batch=1,
            ),
            filter=azure.eventgrid.EventSubscriptionFilterArgs(
                included_event_types=["Microsoft.Storage.BlobCreated"],
                subject_begins_with=f"/blobServices/default/containers/{CONTAINER}/blobs/{INBOX}",
            ),
            retry_policy=azure.eventgrid.RetryPolicyArgs(
                event_time_to_live_in_minutes=DAY_MINUTES, max_delivery_attempts=TRIES
            ),
            opts=under(self, depends_on=[ingest.released]),  # a function can be told of files only when it is there
        )


def scaled(function: FunctionSpec) -> list[str]:
    """What Flex Consumption scales by itself in an app: all that takes requests, and each function of a topic."""
    if function.bundle == "web":
        return ["http"]
    return [f"function:{trigger_name(function.name, topic.name)}" for topic in function.topics] or ["http"]


def trigger_name(stage: str, topic: str) -> str:
    """What the code calls the function of a stage that takes a topic."""
    return f"{stage}_{topic.replace('-', '_')}"
