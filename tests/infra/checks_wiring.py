"""What feeds what: triggers, topics, mappings, routes, and the order of an upgrade."""

import re

from tests.docs.pages import openapi
from tests.infra.graph import last
from watchkeeper.pipeline import PIPELINE
from watchkeeper.topology import DEAD_LETTER, TOPICS
from watchkeeper_infra.functions import FUNCTIONS, NO_FUNCTION, rate
from watchkeeper_infra.words import ALIAS

CALLERS = {"EventSourceMapping": "functionName", "Integration": "integrationUri"}


def triggers_are_those_of_the_table(graph):
    mapped = {(m["tags"]["stage"], topic) for m in graph.of("EventSourceMapping") for topic in m["topics"]}
    deployed = [stage for stage in PIPELINE if stage.name not in NO_FUNCTION]
    wanted = {(stage.name, topic.name) for stage in deployed for topic in stage.topics}
    timed = {
        (last(s["target"]["arn"].removesuffix(f":{ALIAS}")).removeprefix(graph.prefix), s["scheduleExpression"])
        for s in graph.of("Schedule")
    }
    timers = {(stage.name, rate(stage.timer)) for stage in deployed if stage.timer}
    timers |= {("api", "rate(1 minute)")} if graph.made["config"].canary else set()
    return sorted(map(str, (mapped ^ wanted) | (timed ^ timers)))


def every_endpoint_of_the_application_has_a_route(graph):
    http = next(api for api in graph.of("Api") if api["protocolType"] == "HTTP")
    routes = [r["routeKey"] for r in graph.of("apigatewayv2:Route") if r["apiId"].startswith(http.name)]
    patterns = [re.sub(r"\{\w+\+\}", ".+", route.replace("ANY ", r"\w+ ")) for route in routes]
    faults = [
        f"no route for {method.upper()} {path}"
        for path, item in openapi()["paths"].items()
        for method in item
        if not any(re.fullmatch(pattern, f"{method.upper()} {path}") for pattern in patterns)
    ]
    open_routes = {r["routeKey"] for r in graph.of("apigatewayv2:Route") if r["authorizationType"] == "NONE"}
    faults += [f"{route} is open to all" for route in open_routes - {"GET /health", "$disconnect", "$default"}]
    stages = [s for s in graph.of("apigatewayv2:Stage") if not s["defaultRouteSettings"].get("throttlingRateLimit")]
    return faults + [f"{stage} takes any number of requests" for stage in stages]


def topics_are_those_of_the_pipeline(graph):
    config = graph.made["config"]
    made = {topic["name"]: topic for topic in graph.of("msk:Topic")}
    faults = sorted(set(made) ^ set(TOPICS))
    for name in set(made) & set(TOPICS):
        partitions = config.partitions if TOPICS[name].sharded else 1
        if made[name]["partitionCount"] != partitions:
            faults.append(f"{name} has {made[name]['partitionCount']} partitions, not {partitions}")
        if made[name]["replicationFactor"] < 2:
            faults.append(f"{name} is kept once only")
        hours = config.dead_letter_days * 24 if name == DEAD_LETTER.name else config.retention_hours
        if made[name].json("configs")["retention.ms"] != str(hours * 3_600_000):
            faults.append(f"{name} is kept for another time than configured")
    return faults


def mappings_are_as_the_platform_wants_them(graph):
    faults, groups = (
        [],
        [m["amazonManagedKafkaEventSourceConfig"]["consumerGroupId"] for m in graph.of("EventSourceMapping")],
    )
    pollers = {m.get("provisionedPollerConfig", {}).get("pollerGroupName") for m in graph.of("EventSourceMapping")}
    if len(pollers) != 1 or None in pollers:
        faults.append(f"pollers in {len(pollers)} groups")
    faults += [f"two mappings in the group {group}" for group in sorted({g for g in groups if groups.count(g) > 1})]
    for mapping in graph.of("EventSourceMapping"):
        if mapping.get("functionResponseTypes") != ["ReportBatchItemFailures"]:
            faults.append(f"{mapping}: one bad record fails all")
        if not mapping.get("maximumRetryAttempts", -1) > 0:
            faults.append(f"{mapping}: retries for ever")
        retention = graph.made["config"].retention_hours * 3600
        if not 0 < mapping.get("maximumRecordAgeInSeconds", -1) < retention:
            faults.append(f"{mapping}: a record ends before it is given up")
        if (
            not mapping.get("destinationConfig", {})
            .get("onFailure", {})
            .get("destinationArn", "")
            .startswith("arn:aws:s3:")
        ):
            faults.append(f"{mapping}: what is given up is lost")
        if mapping.made.get("ignoreChanges") != ["enabled"]:
            faults.append(f"{mapping}: `pulumi up` enables what somebody has disabled")
    return faults


def callers_call_the_alias(graph):
    faults = []
    for kind, key in CALLERS.items():
        faults += [f"{r} calls {r[key]}" for r in graph.of(kind) if f":{ALIAS}" not in r[key]]
    faults += [
        f"{s} calls {s['target']['arn']}" for s in graph.of("Schedule") if not s["target"]["arn"].endswith(ALIAS)
    ]
    return faults + [f"{p} is no right to the alias" for p in graph.of("Permission") if p.get("qualifier") != ALIAS]


def functions_are_built_for_their_machine(graph):
    return [
        f"{function} is {function.get('runtime')} on {function.get('architectures')}, or not published"
        for function in graph.of("lambda:Function")
        if (function.get("runtime"), function.get("architectures"), function.get("publish"))
        != ("python3.13", ["arm64"], True)
    ]


def consumers_are_upgraded_before_producers(graph):
    aliases = {r.name.removeprefix(graph.prefix): r for r in graph.of("lambda:Alias")}
    return [
        f"{producer.name} is upgraded before {consumer.name}"
        for producer in FUNCTIONS.values()
        for consumer in FUNCTIONS.values()
        if set(producer.emits) & set(consumer.topics)
        and aliases[consumer.name].urn not in aliases[producer.name].depends_on
    ]
