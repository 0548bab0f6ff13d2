"""What is kept, how, and who is told: encryption, retention, protection, names, tags, alarms, budgets."""

import re

from watchkeeper.pipeline import STAGES
from watchkeeper.topology import TABLES
from watchkeeper_infra.words import RUNTIME_TABLES

KEPT = ("dynamodb:Table", "s3:Bucket", "msk:Cluster", "msk:Topic", "kms:Key", "Secret", "UserPool")
OUR_KEYS = "arn:aws:kms:eu-central-1:123456789012:key/"  # a key of the cloud's own is an alias/aws/…
PER_FUNCTION = {"Errors", "Throttles", "Duration"}
DESCRIBED = ("SecurityGroup", "SecurityGroupIngressRule", "SecurityGroupEgressRule")
DESCRIPTION = re.compile(r"[\w .:/()#,@\[\]+=&;{}!$*-]{1,255}")


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


def tables_are_those_of_the_pipeline(graph):
    names = [table["name"].removeprefix(graph.prefix) for table in graph.of("dynamodb:Table")]
    faults = sorted(set(names) ^ {*TABLES, *RUNTIME_TABLES})
    for table in graph.of("dynamodb:Table"):
        if table["billingMode"] != "PAY_PER_REQUEST" or not table.get("pointInTimeRecovery", {}).get("enabled"):
            faults.append(f"{table}: not on demand, or not recoverable")
        if not table.get("ttl", {}).get("enabled"):
            faults.append(f"{table}: rows never expire")
    return faults


def what_holds_data_is_protected(graph):
    kept = [resource for kind in KEPT for resource in graph.of(kind)]
    return [f"{resource} may be deleted by mistake" for resource in kept if not resource.made.get("protect")]


def how_devices_are_divided_cannot_be_changed_by_mistake(graph):
    layout = [r for r in graph.of("BucketObject") if r["key"] == "stack/layout.json"]
    config = graph.made["config"]
    held = {"shards": config.shards, "partitions": config.partitions}
    faults = [] if [r.json("content") for r in layout] == [held] else ["it is written down nowhere"]
    divided = [(r, "partitionCount") for r in graph.of("msk:Topic")] + [(r, "content") for r in layout]
    return faults + [
        f"{r}: another {key} would be taken"
        for r, key in divided
        if key not in r.made.get("replaceOnChanges", []) or bool(r.made.get("protect")) != config.protect
    ]


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


def no_name_comes_twice(graph):
    names = [
        (resource.kind, value)
        for resource in graph.resources
        for key in ("name", "clusterName", "dashboardName")
        if isinstance(value := resource.get(key), str) and resource.kind not in {"Alias", "Stage", "Authorizer"}
    ]
    return sorted({f"{kind} {name} is there twice" for kind, name in names if names.count((kind, name)) > 1})


def texts_are_ones_that_the_cloud_takes(graph):
    """What the provider would refuse only in the middle of a deployment."""
    described = [r for kind in DESCRIBED for r in graph.of(kind)]
    faults = [f"{r}: {r['description']}" for r in described if not DESCRIPTION.fullmatch(r["description"])]
    faults += [
        f"{r}: {r['domain']}"
        for r in graph.of("UserPoolDomain")
        if re.search(r"aws|amazon|cognito", r["domain"]) or not re.fullmatch(r"[a-z0-9-]{1,63}", r["domain"])
    ]
    named = [r for kind in ("iam:Role", "lambda:Function", "Schedule") for r in graph.of(kind)]
    return faults + [f"{r}: {r['name']}" for r in named if not re.fullmatch(r"[\w-]{1,64}", r["name"])]


def everything_belongs_to_a_component(graph):
    return [f"{r} stands alone" for r in graph.resources if r.made.get("custom") and "watchkeeper:aws:" not in r.urn]


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
    faults += [f"no alarm on {m}" for m in sorted({"dead", "stored", "Failure", "ErrorActionFailure"} - metrics)]
    faults += [f"{a} is told to nobody" for a in alarms if not a.get("alarmActions")]
    canary = next((a for a in alarms if a["metricName"] == "stored"), None)
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
