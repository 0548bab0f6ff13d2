"""What must hold of every graph. A check answers what is wrong, nothing if all is well."""

import re

from tests.docs.pages import openapi
from tests.infra.graph import last, listed, secrets
from watchkeeper.pipeline import PIPELINE, STAGES
from watchkeeper.topology import CUTOFFS, DEAD_LETTER, TABLES, TOPICS, Http
from watchkeeper_infra.functions import rate
from watchkeeper_infra.words import ALIAS, RUNTIME_TABLES, WILDCARDS

KEPT = ("dynamodb:Table", "s3:Bucket", "msk:Cluster", "msk:Topic", "kms:Key", "Secret", "UserPool")
CALLERS = {"EventSourceMapping": "functionName", "Integration": "integrationUri"}
OUR_KEYS = "arn:aws:kms:eu-central-1:123456789012:key/"  # a key of the cloud's own is an alias/aws/…
PER_FUNCTION = {"Errors", "Throttles", "Duration"}
READ_ROWS = {"dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"}


def a_role_of_its_own(graph):
    functions = graph.of("lambda:Function")
    roles = [function["role"] for function in functions]
    faults = [f"{f} shares its role" for f in functions if roles.count(f["role"]) > 1]
    others = {r["target"]["roleArn"] for r in graph.of("Schedule")} | {
        part["roleArn"] for r in graph.of("TopicRule") for part in r["errorAction"].values()
    }
    faults += [f"{f} shares its role with no function" for f in functions if f["role"] in others]
    names = {last(role) for role in roles}
    return faults + [f"{name} has no rights of its own" for name in names if not graph.statements(name)]


def one_service_takes_a_role(graph):
    return [
        f"{role}: who may take it?"
        for role in graph.of("iam:Role")
        for statement in role.json("assumeRolePolicy")["Statement"]
        if set(statement["Principal"]) != {"Service"} or not isinstance(statement["Principal"]["Service"], str)
    ]


def everything_stored_is_encrypted_by_a_key_of_ours(graph):
    by_bucket = {
        r["bucket"]: r["rules"][0]["applyServerSideEncryptionByDefault"]
        for r in graph.of("BucketServerSideEncryptionConfiguration")
    }
    used = [(table, table.get("serverSideEncryption", {}).get("kmsKeyArn")) for table in graph.of("dynamodb:Table")]
    used += [(secret, secret.get("kmsKeyId")) for secret in graph.of("Secret")]
    used += [(topic, topic.get("kmsMasterKeyId")) for topic in graph.of("sns:Topic")]
    used += [(logs, logs.get("kmsKeyId")) for logs in graph.of("LogGroup")]
    used += [(function, function.get("kmsKeyArn")) for function in graph.of("lambda:Function")]
    used += [(c, c.get("encryptionInfo", {}).get("encryptionAtRestKmsKeyArn")) for c in graph.of("msk:Cluster")]
    for bucket in graph.of("s3:Bucket"):
        found = [value for name, value in by_bucket.items() if name.startswith(bucket.name)]
        used.append((bucket, found[0].get("kmsMasterKeyId") if found else None))
    plain_text = [
        f"{cluster}: takes clients without TLS"
        for cluster in graph.of("msk:Cluster")
        if cluster.get("encryptionInfo", {}).get("encryptionInTransit") != {"clientBroker": "TLS", "inCluster": True}
        or cluster["clientAuthentication"].get("unauthenticated")
    ]
    return [
        f"{resource}: encrypted by {key}" for resource, key in used if not str(key).startswith(OUR_KEYS)
    ] + plain_text


def every_log_ends(graph):
    groups = graph.of("LogGroup")
    names = {group["name"] for group in groups}
    faults = [f"{group} keeps everything for ever" for group in groups if not group.get("retentionInDays")]
    return faults + [f"{f} has no log" for f in graph.of("lambda:Function") if f"/aws/lambda/{f['name']}" not in names]


def triggers_are_those_of_the_table(graph):
    mapped = {(m["tags"]["stage"], topic) for m in graph.of("EventSourceMapping") for topic in m["topics"]}
    wanted = {(stage.name, topic.name) for stage in PIPELINE for topic in stage.topics}
    timed = {
        (last(s["target"]["arn"].removesuffix(f":{ALIAS}")).removeprefix(_prefix(graph)), s["scheduleExpression"])
        for s in graph.of("Schedule")
    }
    timers = {(stage.name, rate(stage.timer)) for stage in PIPELINE if stage.timer}
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


def tables_are_those_of_the_pipeline(graph):
    names = [table["name"].removeprefix(_prefix(graph)) for table in graph.of("dynamodb:Table")]
    faults = sorted(set(names) ^ {*TABLES, *RUNTIME_TABLES})
    for table in graph.of("dynamodb:Table"):
        if table["billingMode"] != "PAY_PER_REQUEST" or not table.get("pointInTimeRecovery", {}).get("enabled"):
            faults.append(f"{table}: not on demand, or not recoverable")
        if not table.get("ttl", {}).get("enabled"):
            faults.append(f"{table}: rows never expire")
    return faults


def no_name_comes_twice(graph):
    names = [
        (resource.kind, value)
        for resource in graph.resources
        for key in ("name", "clusterName", "dashboardName")
        if isinstance(value := resource.get(key), str) and resource.kind not in {"Alias", "Stage", "Authorizer"}
    ]
    return sorted({f"{kind} {name} is there twice" for kind, name in names if names.count((kind, name)) > 1})


def wildcards_have_a_reason(graph):
    faults = []
    for policy in graph.of("RolePolicy"):
        for statement in policy.json("policy")["Statement"]:
            sid, resources = statement.get("Sid"), listed(statement["Resource"])
            broad = [r for r in resources if r == "*" or re.fullmatch(r"arn:aws:\w+:[^:]*:[^:]*:\*", r)]
            if broad and sid not in WILDCARDS:
                faults.append(f"{policy} {sid}: may touch everything")
            faults += [f"{policy} {sid}: may do {action}" for action in listed(statement["Action"]) if "*" in action]
    return faults


def a_function_may_do_what_its_row_says_and_no_more(graph):
    prefix = _prefix(graph)
    faults = []
    for name, stage in STAGES.items():
        rows = [stage] if name != "api" else [s for s in PIPELINE if any(isinstance(t, Http) for t in s.on)]
        may = _may(graph, f"{prefix}{name}")
        emits = {topic.name for row in rows for topic in row.emits} | {DEAD_LETTER.name}
        writes = {table.name for row in rows for table in row.writes} | ({"connections"} if name == "api" else set())
        reads = {table.name for row in rows for table in row.reads} | {CUTOFFS.name}
        meter = {"meter"} if any("meter" in row.uses for row in rows) else set()
        wanted = {
            "kafka-cluster:WriteData": emits,
            "kafka-cluster:ReadData": {topic.name for topic in stage.topics},
            "kafka-cluster:AlterGroup": {f"{name}.{topic.name}" for topic in stage.topics},
            "dynamodb:PutItem": writes,
            "dynamodb:UpdateItem": writes | {"meter"},
            "dynamodb:Query": writes | reads | meter,
            "sns:Publish": {f"alerts-{s}" for s in ("info", "warning", "critical", "emergency")}
            if "receivers" in stage.uses
            else set(),
        }
        for action, names in wanted.items():
            found = {last(arn).removeprefix(prefix) for arn in may.get(action, ())}
            if found != names:
                faults.append(f"{name}: {action} on {sorted(found ^ names)}")
        states = {
            last(arn.partition("/state/")[2].rpartition("/")[0]) for arn in may["s3:PutObject"] if "/state/" in arn
        }
        if states != ({name} if stage.state else set()):
            faults.append(f"{name}: writes the states of {sorted(states)}")
    return faults


def only_who_publishes_may_replace_what_is_published(graph):
    publishers = {"bundles": {"api", "budget_cutoff"}, "models": {"retrain"}, "segments": {"store", "api"}}
    found = {folder: set() for folder in publishers}
    for name in STAGES:
        for arn in _may(graph, f"{_prefix(graph)}{name}").get("s3:PutObject", ()):
            folder = arn.split("/")[1]
            if folder in found:
                found[folder].add(name)
    return [f"{folder}: {names}" for folder, names in found.items() if names != publishers[folder]]


def what_holds_data_is_protected(graph):
    kept = [resource for kind in KEPT for resource in graph.of(kind)]
    return [f"{resource} may be deleted by mistake" for resource in kept if not resource.made.get("protect")]


def buckets_are_private(graph):
    faults = []
    for bucket in graph.of("s3:Bucket"):
        of_it = {r.kind: r for r in graph.resources if str(r.get("bucket", "")).startswith(f"{bucket.name}-")}
        block = of_it.get("BucketPublicAccessBlock")
        if not block or not all(
            block.get(key)
            for key in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
        ):
            faults.append(f"{bucket} may be made public")
        policy = of_it.get("BucketPolicy")
        denied = [s for s in policy.json("policy")["Statement"] if s["Effect"] == "Deny"] if policy else []
        if not any(s["Condition"] == {"Bool": {"aws:SecureTransport": "false"}} for s in denied):
            faults.append(f"{bucket} may be read without TLS")
        if "BucketLifecycleConfiguration" not in of_it:
            faults.append(f"{bucket} keeps everything for ever")
    return faults


def everything_is_tagged(graph):
    faults = []
    for resource in graph.resources:
        tags = resource.get("tags")
        if isinstance(tags, dict):
            missing = {"project", "stack", "stage", "cost-centre"} - set(tags)
            faults += [f"{resource} has no tag {tag}" for tag in sorted(missing)]
            if tags.get("stage") not in {"all", "authorizer", *STAGES}:
                faults.append(f"{resource} is of the stage {tags.get('stage')}")
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
            faults.append(f"{mapping}: `pulumi up` undoes a cutoff")
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
    aliases = {r.name.removeprefix(_prefix(graph)): r for r in graph.of("lambda:Alias")}
    return [
        f"{producer.name} is upgraded before {consumer.name}"
        for producer in PIPELINE
        for consumer in PIPELINE
        if set(producer.emits) & set(consumer.topics)
        and aliases[consumer.name].urn not in aliases[producer.name].depends_on
    ]


def a_device_speaks_for_itself_only(graph):
    faults = []
    policies = {r.name.removeprefix(_prefix(graph)): r for r in graph.of("iot:Policy")}
    for statement in policies["device"].json("policy")["Statement"]:
        faults += [
            f"a device may {statement['Action']} {resource}"
            for resource in listed(statement["Resource"])
            if "${iot:Connection.Thing.ThingName}" not in resource or "*" in resource
        ]
    for rule in graph.of("TopicRule"):
        if "s3" not in rule.get("errorAction", {}):
            faults.append(f"{rule} forgets what it cannot hand on")
        for action in rule["kafkas"]:
            if action["topic"] != "device-telemetry" or action["key"] != "${clientid()}":
                faults.append(f"{rule} mixes up devices")
    return faults


def secrets_are_marked(graph):
    marked = [str(value) for r in graph.made["resources"] for value in secrets(r.get("object", {}))]
    everything = str([r.inputs for r in graph.resources if r.kind != "SecretVersion"])
    faults = [f"{s} is not marked" for s in graph.made["secret_values"] if not any(s in value for value in marked)]
    faults += [f"{s} is in plain text" for s in graph.made["secret_values"] if s in everything]
    versions = [r for r in graph.made["resources"] if r["type"].endswith(":SecretVersion")]
    return faults + [
        f"{v['name']} is in plain text" for v in versions if not list(secrets(v["object"]["secretString"]))
    ]


def people_hear_of_what_is_wrong(graph):
    alarms = graph.of("MetricAlarm")
    of_functions = {(a["dimensions"].get("FunctionName"), a["metricName"]) for a in alarms}
    wanted = {(f["name"], metric) for f in graph.of("lambda:Function") for metric in PER_FUNCTION}
    faults = [f"no alarm for {pair}" for pair in sorted(wanted - of_functions)]
    lag = {(a["dimensions"].get("Consumer Group"), a["metricName"]) for a in alarms}
    for mapping in graph.of("EventSourceMapping"):
        group = mapping["amazonManagedKafkaEventSourceConfig"]["consumerGroupId"]
        if (group, "SumOffsetLag") not in lag:
            faults.append(f"nobody hears that {group} is behind")
    metrics = {alarm["metricName"] for alarm in alarms}
    faults += [f"no alarm on {m}" for m in sorted({"dead", "flows", "Failure", "ErrorActionFailure"} - metrics)]
    faults += [f"{a} is told to nobody" for a in alarms if not a.get("alarmActions")]
    canary = next((a for a in alarms if a["metricName"] == "flows"), None)
    if canary and canary["treatMissingData"] != "breaching":
        faults.append("a canary that says nothing is taken for well")
    return faults


def two_budgets_stand_behind_the_meter(graph):
    wanted = 2 if graph.made["config"].budget else 0
    budgets = graph.of("Budget")
    faults = [] if len(budgets) == wanted else [f"{len(budgets)} budgets, not {wanted}"]
    for budget in budgets:
        kinds = {n["notificationType"] for n in budget["notifications"]}
        if len(kinds) != 1 or len(budget["notifications"]) > 5:
            faults.append(f"{budget}: {kinds}, {len(budget['notifications'])} notifications")
    told = [s for s in graph.of("TopicSubscription") if s["protocol"] == "lambda" and "budget_cutoff" in s["endpoint"]]
    return faults + ([] if told else ["budget_cutoff is not told"])


def a_cutoff_spares_those_who_tell_people(graph):
    cut = _may(graph, f"{_prefix(graph)}budget_cutoff").get("lambda:UpdateEventSourceMapping", set())
    mappings = {m["tags"]["stage"] for m in graph.of("EventSourceMapping")}
    spared = {name for name in mappings if "receivers" in STAGES[name].uses}
    wanted = sum(m["tags"]["stage"] not in spared for m in graph.of("EventSourceMapping"))
    others = [
        name
        for name in STAGES
        if name != "budget_cutoff" and "lambda:UpdateEventSourceMapping" in _may(graph, f"{_prefix(graph)}{name}")
    ]
    return ([] if len(cut) == wanted else [f"{len(cut)} mappings can be cut, not {wanted}"]) + others


def nobody_reaches_in_from_outside(graph):
    faults = [
        f"{r} lets the world in" for r in graph.of("SecurityGroupIngressRule") if not r.get("referencedSecurityGroupId")
    ]
    faults += [f"{g} has rules of its own" for g in graph.of("SecurityGroup") if g.get("ingress") or g.get("egress")]
    faults += [f"{s} gives out public addresses" for s in graph.of("Subnet") if s.get("mapPublicIpOnLaunch")]
    private = {f"{r.name}-" for r in graph.of("Subnet") if "private" in r.name}
    inside = [s for f in graph.of("lambda:Function") for s in f.get("vpcConfig", {}).get("subnetIds", [])]
    inside += graph.one("msk:Cluster")["brokerNodeGroupInfo"]["clientSubnets"]
    return faults + [f"{s} is no private subnet" for s in inside if not any(s.startswith(name) for name in private)]


def everything_belongs_to_a_component(graph):
    return [f"{r} stands alone" for r in graph.resources if r.made.get("custom") and "watchkeeper:aws:" not in r.urn]


def _prefix(graph):
    return f"watchkeeper-{graph.made['stack']}-"


def _may(graph, role):
    """What a role may: the ARNs by action."""
    may = {}
    for statement in graph.statements(role):
        if statement["Effect"] == "Allow":
            for action in listed(statement["Action"]):
                may.setdefault(action, set()).update(listed(statement["Resource"]))
    return may


CHECKS = {
    name: check
    for name, check in list(vars().items())
    if callable(check) and not name.startswith("_") and getattr(check, "__module__", "") == __name__
}
