"""EventStream: an Event Hubs namespace without keys, with a hub for each topic and a consumer group for each stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_azure_native as azure

from watchkeeper.topology import DEAD_LETTER, TOPICS
from watchkeeper_infra.functions import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watchkeeper.topology import Topic
    from watchkeeper_infra.azure.network import Network
    from watchkeeper_infra.azure.site import Site

OPERATORS = "operators"  # who reads dead letters


class EventStream(pulumi.ComponentResource):
    """`namespace`, its `address` and the `hubs` by topic.

    A hub's partitions can never be changed in this tier: another number would replace it, which protection forbids.
    """

    def __init__(self, site: Site, network: Network) -> None:
        super().__init__("watchkeeper:azure:EventStream", site.name("stream"))
        self._site, config = site, site.config
        self.namespace = azure.eventhub.Namespace(
            site.name("stream"),
            namespace_name=site.unique("stream"),
            sku=azure.eventhub.SkuArgs(name="Standard", tier="Standard", capacity=config.throughput_units),
            is_auto_inflate_enabled=config.throughput_units_at_most > config.throughput_units,
            maximum_throughput_units=config.throughput_units_at_most
            if config.throughput_units_at_most > config.throughput_units
            else 0,
            disable_local_auth=True,
            minimum_tls_version="1.2",
            public_network_access="Enabled",  # the rules below say for whom
            opts=site.keeping(self),
            **site.where(),
        )
        site.lock("stream", self.namespace)
        self.address: pulumi.Output[str] = pulumi.Output.concat(self.namespace.name, ".servicebus.windows.net")
        self._who_may_come(network)
        network.connect(site, "stream", "namespace", self.namespace)
        self.hubs: Mapping[str, azure.eventhub.EventHub] = {name: self._hub(topic) for name, topic in TOPICS.items()}
        for function in FUNCTIONS.values():
            for topic in function.topics:
                self._group(topic, function.name)
        self._group(DEAD_LETTER, OPERATORS)
        self.register_outputs({"address": self.address})

    def _who_may_come(self, network: Network) -> None:
        """With private endpoints nobody from outside but the device hub, which Azure trusts by its identity."""
        private = network.functions is not None
        azure.eventhub.NamespaceNetworkRuleSet(
            self._site.name("stream"),
            namespace_name=self.namespace.name,
            resource_group_name=self._site.group,
            default_action="Deny" if private else "Allow",
            trusted_service_access_enabled=True,
            public_network_access="Disabled" if private else "Enabled",
            opts=pulumi.ResourceOptions(parent=self.namespace),
        )

    def _hub(self, topic: Topic) -> azure.eventhub.EventHub:
        site, config = self._site, self._site.config
        hours = config.dead_letter_hours if topic is DEAD_LETTER else config.retention_hours
        return azure.eventhub.EventHub(
            site.name(topic.name),
            event_hub_name=topic.name,
            namespace_name=self.namespace.name,
            resource_group_name=site.group,
            partition_count=config.partitions if topic.sharded else 1,
            retention_description=azure.eventhub.RetentionDescriptionArgs(
                cleanup_policy="Delete", retention_time_in_hours=hours
            ),
            opts=site.unchangeable(self, "partitionCount"),
        )

    def _group(self, topic: Topic, name: str) -> None:
        azure.eventhub.ConsumerGroup(
            self._site.name(topic.name, name),
            consumer_group_name=name,
            event_hub_name=self.hubs[topic.name].name,
            namespace_name=self.namespace.name,
            resource_group_name=self._site.group,
            opts=pulumi.ResourceOptions(parent=self.hubs[topic.name]),
        )
