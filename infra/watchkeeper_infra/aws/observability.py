"""Observability: alarms to the topic `operations`, and one dashboard of CloudWatch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_aws as aws

from watchkeeper_infra.aws.alarms import Alarm, alarms
from watchkeeper_infra.aws.iam import allow, role, trust
from watchkeeper_infra.aws.rights import group_of
from watchkeeper_infra.canary import canary_event
from watchkeeper_infra.functions import FUNCTIONS
from watchkeeper_infra.site import under
from watchkeeper_infra.words import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watchkeeper_infra.aws.alerts import Alerts
    from watchkeeper_infra.aws.device_hub import DeviceHub
    from watchkeeper_infra.aws.function import OwnFunction
    from watchkeeper_infra.aws.site import Site

MINUTE_S = 60
WIDTH, HEIGHT = 12, 6


class Observability(pulumi.ComponentResource):
    """`alarms` by name, and the `dashboard`."""

    def __init__(self, site: Site, functions: Mapping[str, OwnFunction], hub: DeviceHub, alerts: Alerts) -> None:
        super().__init__("watchkeeper:aws:Observability", site.name("observability"))
        self._site = site
        told = [alerts.topics[OPERATIONS].arn]
        names = {name: function.function.name for name, function in functions.items()}
        self.alarms = {alarm.name: self._alarm(alarm, told) for alarm in alarms(site, names, hub.rule_name)}
        self.dashboard = aws.cloudwatch.Dashboard(
            site.name("dashboard"),
            dashboard_name=site.name(),
            dashboard_body=pulumi.Output.json_dumps({"widgets": self._widgets(names, hub.rule_name)}),
            opts=under(self),
        )
        if site.config.canary:
            self._canary(functions["api"])
        self.register_outputs({"alarms": len(self.alarms)})

    def _canary(self, api: OwnFunction) -> None:
        site = self._site
        call = [allow("Call", ["lambda:InvokeFunction"], api.alias.arn)]
        caller, policy = role(site, "canary", trust("scheduler.amazonaws.com", site), call, under(self), "api")
        aws.scheduler.Schedule(
            site.name("canary"),
            name=site.name("canary"),
            description="A reading a minute, of nothing but itself",
            schedule_expression="rate(1 minute)",
            flexible_time_window=aws.scheduler.ScheduleFlexibleTimeWindowArgs(mode="OFF"),
            target=aws.scheduler.ScheduleTargetArgs(
                arn=api.alias.arn,
                role_arn=caller.arn,
                input=canary_event(),
                retry_policy=aws.scheduler.ScheduleTargetRetryPolicyArgs(
                    maximum_retry_attempts=0, maximum_event_age_in_seconds=MINUTE_S
                ),
            ),
            opts=under(self, depends_on=[policy]),
        )

    def _alarm(self, alarm: Alarm, told: Sequence[pulumi.Output[str]]) -> aws.cloudwatch.MetricAlarm:
        percentile = alarm.statistic.startswith("p")
        return aws.cloudwatch.MetricAlarm(
            self._site.name(alarm.name),
            name=self._site.name(alarm.name),
            alarm_description=alarm.about,
            namespace=alarm.namespace,
            metric_name=alarm.metric,
            dimensions=dict(alarm.dimensions),
            statistic=None if percentile else alarm.statistic,
            extended_statistic=alarm.statistic if percentile else None,
            period=5 * MINUTE_S,
            evaluation_periods=max(1, alarm.minutes // 5),
            threshold=alarm.threshold,
            comparison_operator="LessThanThreshold" if alarm.below else "GreaterThanThreshold",
            treat_missing_data="breaching" if alarm.silent_is_bad else "notBreaching",
            alarm_actions=list(told),
            ok_actions=list(told),
            tags=self._site.tags(),
            opts=under(self),
        )

    def _widgets(self, names: Mapping[str, Any], rule: str) -> list[dict[str, Any]]:
        stream = self._site.name("stream")
        lag = [
            [
                "AWS/Kafka",
                "SumOffsetLag",
                "Cluster Name",
                stream,
                "Consumer Group",
                group_of(f, t.name),
                "Topic",
                t.name,
            ]
            for f in FUNCTIONS.values()
            for t in f.topics
        ]
        hub = [["AWS/IoT", metric, "RuleName", rule] for metric in ("TopicMatch", "ParseError", "RuleMessageThrottled")]
        charts = {
            "Behind, in messages": lag,
            "Invocations": _of_lambda("Invocations", names),
            "Errors": _of_lambda("Errors", names),
            "Duration, p95, ms": [[*row, {"stat": "p95"}] for row in _of_lambda("Duration", names)],
            "Messages of devices": hub,
            "Stored and dead": [
                ["Watchkeeper", metric, "service", name] for metric, name in (("stored", "store"), ("dead", "ingest"))
            ],
        }
        return [
            {
                "type": "metric",
                "x": WIDTH * (n % 2),
                "y": HEIGHT * (n // 2),
                "width": WIDTH,
                "height": HEIGHT,
                "properties": {
                    "title": title,
                    "metrics": metrics,
                    "region": self._site.region,
                    "period": 60,
                    "stat": "Maximum" if title.startswith("Behind") else "Sum",
                },
            }
            for n, (title, metrics) in enumerate(charts.items())
        ]


def _of_lambda(metric: str, names: Mapping[str, Any]) -> list[list[Any]]:
    return [["AWS/Lambda", metric, "FunctionName", name] for name in names.values()]
