"""Observability: what apps say in one workspace with an end, alarms to `operations`, a workbook, and a canary."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_azure_native as azure

from watchkeeper.records import Severity
from watchkeeper.topology import TOPICS
from watchkeeper_infra.azure.alarms import HUB, STREAM, TABLES, device_alarms, metric_alarms, query_alarms, requests_of
from watchkeeper_infra.azure.roles import stable_id
from watchkeeper_infra.canary import PATH, canary_reading
from watchkeeper_infra.functions import FUNCTIONS
from watchkeeper_infra.site import under

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from watchkeeper_infra.azure.alarms import MetricAlarm, QueryAlarm
    from watchkeeper_infra.azure.alerts import Alerts
    from watchkeeper_infra.azure.device_hub import DeviceHub
    from watchkeeper_infra.azure.event_stream import EventStream
    from watchkeeper_infra.azure.site import Site
    from watchkeeper_infra.azure.state import State

    Groups = Sequence[pulumi.Output[str]]

FREQUENCY_MINUTES = 5
LEVELS = {Severity.EMERGENCY: 0, Severity.CRITICAL: 1, Severity.WARNING: 2, Severity.INFO: 3}
"""Azure Monitor's own numbers, 0 is the worst."""
CANARY_S, CANARY_TIMEOUT_S = 300, 30
CANARY_FROM = "emea-nl-ams-azr"  # one of the places that Azure tests from
ACCEPTED = 202


class Observability(pulumi.ComponentResource):
    """The `workspace`, `insights` where apps say what they do, and the alarms once there is something to `watch`."""

    def __init__(self, site: Site) -> None:
        super().__init__("watchkeeper:azure:Observability", site.name("observability"))
        self._site, self._own = site, under(self)
        self.workspace = azure.operationalinsights.Workspace(
            site.name("logs"),
            workspace_name=site.name("logs"),
            retention_in_days=site.config.log_days,
            sku=azure.operationalinsights.WorkspaceSkuArgs(name="PerGB2018"),
            features=azure.operationalinsights.WorkspaceFeaturesArgs(
                disable_local_auth=True, enable_log_access_using_only_resource_permissions=True
            ),
            opts=self._own,
            **site.where(),
        )
        self.insights = azure.applicationinsights.Component(
            site.name("insights"),
            resource_name_=site.name("insights"),
            application_type="web",
            kind="web",
            ingestion_mode="LogAnalytics",
            workspace_resource_id=self.workspace.id,
            disable_local_auth=True,
            opts=self._own,
            **site.where(),
        )
        self.register_outputs({"workspace": self.workspace.id})

    def watch(self, stream: EventStream, state: State, hub: DeviceHub, alerts: Alerts, api: pulumi.Input[str]) -> None:
        """Tell people what is wrong with any of these, and with devices, and show it; the canary posts to `api`."""
        services = {STREAM: stream.namespace.id, TABLES: state.account.id, HUB: hub.hub.id}
        for metric in metric_alarms(self._site):
            self._metric_alarm(metric, services, alerts.of_alarm(metric.severity))
        for query in query_alarms(self._site):
            self._query_alarm(query, alerts.of_alarm(query.severity))
        for query in device_alarms(self._site):
            self._query_alarm(query, [alerts.groups[query.severity].id])
        self._workbook(services)
        if self._site.config.canary_key:
            self._canary(api)

    def _metric_alarm(self, alarm: MetricAlarm, services: Mapping[str, Any], told: Groups) -> None:
        criteria = [
            azure.monitor.MetricCriteriaArgs(
                criterion_type="StaticThresholdCriterion",
                name=f"criterion-{number}",
                metric_namespace=alarm.service,
                metric_name=criterion.metric,
                time_aggregation=criterion.statistic,
                operator="LessThan" if criterion.below else "GreaterThan",
                threshold=criterion.threshold,
                dimensions=_dimensions([criterion.only] if criterion.only else []),
            )
            for number, criterion in enumerate(alarm.criteria)
        ]
        azure.monitor.MetricAlert(
            self._site.name(alarm.name),
            rule_name=self._site.name(alarm.name),
            description=alarm.about,
            enabled=True,
            severity=LEVELS[alarm.severity],
            scopes=[services[alarm.service]],
            criteria=azure.monitor.MetricAlertSingleResourceMultipleMetricCriteriaArgs(
                odata_type="Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria", all_of=criteria
            ),
            evaluation_frequency=f"PT{FREQUENCY_MINUTES}M",
            window_size=_duration(alarm.minutes),
            auto_mitigate=True,
            actions=[azure.monitor.MetricAlertActionArgs(action_group_id=group) for group in told],
            opts=self._own,
            **{**self._site.where(), "location": "global"},
        )

    def _query_alarm(self, alarm: QueryAlarm, told: Groups) -> None:
        azure.monitor.ScheduledQueryRule(
            self._site.name(alarm.name),
            rule_name=self._site.name(alarm.name),
            display_name=self._site.name(alarm.name),
            description=alarm.about,
            enabled=True,
            kind="LogAlert",
            severity=LEVELS[alarm.severity],
            scopes=[self.workspace.id],
            evaluation_frequency=_duration(max(FREQUENCY_MINUTES, alarm.minutes)),
            window_size=_duration(alarm.minutes),
            auto_mitigate=not alarm.apart,  # what is told apart has said itself that it is over
            skip_query_validation=True,  # the tables are there only when the first app has said something
            criteria=azure.monitor.ScheduledQueryRuleCriteriaArgs(
                all_of=[
                    azure.monitor.ConditionArgs(
                        query=alarm.query,
                        time_aggregation="Count",
                        operator="LessThan" if alarm.silent_is_bad else "GreaterThan",
                        threshold=1 if alarm.silent_is_bad else 0,
                        dimensions=_split(alarm.apart),
                        failing_periods=azure.monitor.ConditionFailingPeriodsArgs(
                            number_of_evaluation_periods=1, min_failing_periods_to_alert=1
                        ),
                    )
                ]
            ),
            actions=azure.monitor.ActionsArgs(action_groups=list(told)),
            opts=self._own,
            **self._site.where(),
        )

    def _workbook(self, services: Mapping[str, Any]) -> None:
        site = self._site
        shown = pulumi.Output.all(self.workspace.id, services[STREAM]).apply(lambda ids: json.dumps(_pages(site, *ids)))
        azure.applicationinsights.Workbook(
            site.name("workbook"),
            resource_name_=stable_id(site, "workbook"),
            display_name=site.name(),
            category="workbook",
            kind="shared",
            version="Notebook/1.0",
            source_id=self.workspace.id,
            serialized_data=shown,
            opts=self._own,
            **site.where(),
        )

    def _canary(self, api: pulumi.Input[str]) -> None:
        """A reading every five minutes by the front door, as a machine that has a key."""
        site = self._site
        headers = {"Content-Type": "application/json", "X-API-Key": pulumi.Output.secret(site.config.canary_key)}
        tags = pulumi.Output.all(self.insights.id).apply(
            lambda ids: {**site.tags("api"), f"hidden-link:{ids[0]}": "Resource"}
        )
        azure.applicationinsights.WebTest(
            site.name("canary"),
            web_test_name=site.name("canary"),
            synthetic_monitor_id=site.name("canary"),
            description="A reading every five minutes, of nothing but itself",
            kind=azure.applicationinsights.WebTestKind.STANDARD,
            web_test_kind=azure.applicationinsights.WebTestKind.STANDARD,
            enabled=True,
            frequency=CANARY_S,
            timeout=CANARY_TIMEOUT_S,
            retry_enabled=False,
            locations=[azure.applicationinsights.WebTestGeolocationArgs(location=CANARY_FROM)],
            request=azure.applicationinsights.WebTestPropertiesRequestArgs(
                http_verb="POST",
                request_url=pulumi.Output.concat(api, PATH),
                request_body=canary_reading(),
                headers=[
                    azure.applicationinsights.HeaderFieldArgs(header_field_name=name, header_field_value=value)
                    for name, value in headers.items()
                ],
                follow_redirects=False,
                parse_dependent_requests=False,
            ),
            validation_rules=azure.applicationinsights.WebTestPropertiesValidationRulesArgs(
                expected_http_status_code=ACCEPTED, s_sl_check=True
            ),
            opts=self._own,
            **{**site.where(), "tags": tags},
        )


def _dimensions(only: Iterable[tuple[str, str]]) -> list[azure.monitor.MetricDimensionArgs]:
    return [azure.monitor.MetricDimensionArgs(name=name, operator="Include", values=[value]) for name, value in only]


def _split(columns: Iterable[str]) -> list[azure.monitor.DimensionArgs]:
    return [azure.monitor.DimensionArgs(name=name, operator="Include", values=["*"]) for name in columns]


def _duration(minutes: int) -> str:
    """Minutes as Azure says them (ISO 8601)."""
    return f"PT{minutes // 60}H" if minutes % 60 == 0 else f"PT{minutes}M"


def _pages(site: Site, workspace: str, stream: str) -> dict[str, Any]:
    """The workbook: what apps do, how often they fail, how long they take, and what flows through the hubs."""
    apps = f"AppRequests | where AppRoleName in ({', '.join(repr(site.unique(name)) for name in FUNCTIONS)})"
    charts = {
        "Invocations": f"{apps} | summarize count() by bin(TimeGenerated, 5m), AppRoleName",
        "Failures": f"{apps} | where Success == false | summarize count() by bin(TimeGenerated, 5m), AppRoleName",
        "Duration, p95, ms": f"{apps} | summarize percentile(DurationMs, 95) by bin(TimeGenerated, 5m), AppRoleName",
        "Stored": f"{requests_of(site, 'store')} | summarize count() by bin(TimeGenerated, 5m), Success",
    }
    queries = [
        {
            "type": 3,
            "name": title,
            "content": {
                "version": "KqlItem/1.0",
                "title": title,
                "query": query,
                "queryType": 0,
                "size": 0,
                "resourceType": "microsoft.operationalinsights/workspaces",
                "crossComponentResources": [workspace],
                "visualization": "timechart",
                "timeContext": {"durationMs": 86_400_000},
            },
        }
        for title, query in charts.items()
    ]
    flows = {
        "type": 10,
        "name": "Hubs",
        "content": {
            "version": "MetricsItem/2.0",
            "title": f"Messages of {len(TOPICS)} hubs, in and out",
            "chartType": 2,
            "resourceType": STREAM.lower(),
            "resourceIds": [stream],
            "timeContext": {"durationMs": 86_400_000},
            "metrics": [
                {
                    "namespace": STREAM.lower(),
                    "metric": f"{STREAM.lower()}--{metric}",
                    "aggregation": 1,
                    "splitBy": ["EntityName"],
                }
                for metric in ("IncomingMessages", "OutgoingMessages")
            ],
        },
    }
    return {
        "version": "Notebook/1.0",
        "items": [*queries, flows],
        "isLocked": False,
        "fallbackResourceIds": [workspace],
    }
