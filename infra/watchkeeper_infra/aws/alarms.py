"""What people are told about Watchkeeper itself: each alarm as data, before it is a resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from watchkeeper_infra.aws.rights import group_of
from watchkeeper_infra.functions import FUNCTIONS
from watchkeeper_infra.words import NAMESPACE_OF_METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from watchkeeper_infra.aws.site import Site

PERIOD_S = 300
P95_SHARE = 0.8  # of a function's time limit
CANARY_MINUTES = 10
FULL = 80  # percent


class Alarm(NamedTuple):
    """A metric and the threshold above (or, with `below`, under) which people are told.

    `minutes` in a row it must be so; `silent_is_bad` says what no value at all means.
    """

    name: str
    about: str
    namespace: str
    metric: str
    dimensions: Mapping[str, Any]
    threshold: float
    statistic: str = "Sum"
    minutes: int = 5
    below: bool = False
    silent_is_bad: bool = False


def alarms(site: Site, names: Mapping[str, Any], rule: str) -> Iterator[Alarm]:
    """All alarms of a stack; `names` are the functions' names in Lambda, `rule` is the device hub's."""
    for name, lambda_name in names.items():
        yield from _of_function(name, {"FunctionName": lambda_name})
    for function in FUNCTIONS.values():
        for topic in function.topics:
            lag = {
                "Cluster Name": site.name("stream"),
                "Consumer Group": group_of(function, topic.name),
                "Topic": topic.name,
            }
            about = f"{function.name} is behind on {topic.name}, and readings wait"
            name = f"{function.name}-{topic.name}-lag"
            yield Alarm(name, about, "AWS/Kafka", "SumOffsetLag", lag, site.config.lag_alarm, "Maximum", 15)
    yield from _of_stages(canary=site.config.canary)
    yield from _of_hub(rule)
    about = "a broker's disk is nearly full: give it more, or keep messages for less long"
    for number in range(1, site.config.kafka_brokers + 1):
        disk = {"Cluster Name": site.name("stream"), "Broker ID": str(number)}
        yield Alarm(f"stream-disk-{number}", about, "AWS/Kafka", "KafkaDataLogsDiskUsed", disk, FULL, "Maximum", 15)


def _of_function(name: str, where: Mapping[str, Any]) -> Iterator[Alarm]:
    yield Alarm(f"{name}-errors", f"{name} fails", "AWS/Lambda", "Errors", where, 0)
    yield Alarm(f"{name}-throttles", f"{name} is refused by Lambda's limits", "AWS/Lambda", "Throttles", where, 0)
    limit_s = FUNCTIONS[name].timeout_s if name in FUNCTIONS else 5
    about = f"{name} needs nearly all of the {limit_s} s that it may"
    yield Alarm(f"{name}-p95", about, "AWS/Lambda", "Duration", where, P95_SHARE * limit_s * 1000, "p95", 15)


def _of_stages(*, canary: bool) -> Iterator[Alarm]:
    """By the metrics that functions write into their logs (EMF): `dead` of each, and `stored` of store."""
    for name in FUNCTIONS:
        where = {"service": name}
        about = f"{name} could not take something: `watchkeeper dead-letters list`"
        yield Alarm(f"{name}-dead", about, NAMESPACE_OF_METRICS, "dead", where, 0)
    if not canary:
        return
    yield Alarm(
        "canary-silent",
        "nothing is stored, not even the canary's readings: the pipeline does not flow",
        NAMESPACE_OF_METRICS,
        "stored",
        {"service": "store"},
        1,
        minutes=CANARY_MINUTES,
        below=True,
        silent_is_bad=True,
    )


def _of_hub(rule: str) -> Iterator[Alarm]:
    """A way into the VPC that disables itself (30 idle days, a changed role or group) shows as failures of the rule."""
    kafka = {"ActionType": "Kafka", "RuleName": rule}
    about = "telemetry does not reach the stream: is the rule's destination enabled? It waits in rule-errors/"
    yield Alarm("hub-failures", about, "AWS/IoT", "Failure", kafka, 0)
    about = "what could not reach the stream could not be kept in the bucket either, and is lost"
    yield Alarm("hub-losses", about, "AWS/IoT", "ErrorActionFailure", {"ActionType": "S3", "RuleName": rule}, 0)
