"""Who may do what: roles, documents, devices, secrets, and who reaches in."""

import json
import re

from tests.infra.graph import last, listed, secrets
from watchkeeper.pipeline import MAY_WAIT, PIPELINE
from watchkeeper.topology import CUTOFFS, DEAD_LETTER, Http
from watchkeeper_infra.functions import FUNCTIONS
from watchkeeper_infra.words import WILDCARDS

STORAGE = ("dynamodb:DeleteTable", "s3:DeleteBucket", "kafka:DeleteCluster", "kms:ScheduleKeyDeletion")
MOST = 10_240  # characters of a role's policies


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


def policies_are_within_their_limit(graph):
    faults = []
    for role in graph.of("iam:Role"):
        policies = [policy["policy"] for policy in graph.of("RolePolicy") if policy["role"] == role["name"]]
        length = sum(len(re.sub(r"\s", "", policy)) for policy in policies)
        if length > MOST:
            faults.append(f"{role}: {length} characters of policies, and IAM takes {MOST:,}")
    return faults


def a_function_may_do_what_its_row_says_and_no_more(graph):
    prefix = graph.prefix
    faults = []
    for name, function in FUNCTIONS.items():
        stage = function.stage
        rows = [stage] if name != "api" else [s for s in PIPELINE if any(isinstance(t, Http) for t in s.on)]
        may = graph.may(f"{prefix}{name}")
        emits = {topic.name for row in rows for topic in row.emits} | {DEAD_LETTER.name}
        writes = {table.name for row in rows for table in row.writes} | (
            {"connections"} if name in _pushers(graph) else set()
        )
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


def a_cutoff_stops_what_may_wait_and_nothing_else(graph):
    """What it is told, whom its rights admit, and what the mappings call are the same; it takes nothing apart."""
    cutoff = f"{graph.prefix}budget_cutoff"
    wanted = {f"{graph.prefix}{name}" for name in MAY_WAIT}
    told = graph.stage_functions["budget_cutoff"]["environment"]["variables"]
    named = json.loads(told.get("WATCHKEEPER_WAITING_FUNCTIONS", "{}"))
    called = {m["functionName"].partition(":function:")[2] for m in graph.of("EventSourceMapping")}
    faults = [f"told of {named}"] if {name.partition(":")[0] for name in named.values()} != wanted else []
    faults += [f"no mapping calls {name}" for name in sorted(set(named.values()) - called)]
    age = min(m["maximumRecordAgeInSeconds"] for m in graph.of("EventSourceMapping"))
    if not 0 < float(told.get("WATCHKEEPER_WAITING_HOURS", 0)) * 3600 <= age / 2:
        faults.append("what waits is given up before it is taken")
    change = "lambda:UpdateEventSourceMapping"
    for policy in graph.of("RolePolicy"):
        for statement in policy.json("policy")["Statement"]:
            if change in listed(statement["Action"]):
                arns = listed(statement.get("Condition", {}).get("ArnEquals", {}).get("lambda:FunctionArn", []))
                if policy["role"] != cutoff or {arn.split(":")[6] for arn in arns} != wanted:
                    faults.append(f"{policy}: may stop {arns or 'everything'}")
    if change not in graph.may(cutoff):
        faults.append("it can stop nothing")
    denied = {a for s in graph.statements(cutoff) if s["Effect"] == "Deny" for a in listed(s["Action"])}
    return faults + [f"it is not denied {action}" for action in STORAGE if action not in denied]


def only_who_pushes_reaches_listeners(graph):
    """By posts to connections of the one WebSocket API: those may who are told where it is, and api, which answers."""
    pushers = _pushers(graph)
    (api,) = [api for api in graph.of("apigatewayv2:Api") if api["protocolType"] == "WEBSOCKET"]
    faults = []
    for name in (*FUNCTIONS, "authorizer"):
        may = graph.may(f"{graph.prefix}{name}").get("execute-api:ManageConnections", ())
        ends = ["/live/POST/@connections/*"] if name in pushers else []
        if [arn[arn.find("/") :] for arn in may] != ends:
            faults.append(f"{name}: pushes to {sorted(may)}")
        told = graph.one("Function", f"{graph.prefix}{name}")["environment"]["variables"]
        url = told.get("WATCHKEEPER_SOCKETS_URL", "")
        if bool(url) != (name in pushers - {"api"}):
            faults.append(f"{name}: is told of the sockets {url!r}")
        if url and not (url.startswith("https://") and url.endswith(".amazonaws.com/live")):
            faults.append(f"{name}: {url!r} is no Management API of {api}")
    return faults


def _pushers(graph):
    """The API answers; notify tells, where there is a way out to API Gateway."""
    return {"api", "notify"} if graph.of("NatGateway") else {"api"}


def only_who_publishes_may_replace_what_is_published(graph):
    publishers = {"bundles": {"api"}, "models": {"retrain"}, "segments": {"store", "api"}}
    found = {folder: set() for folder in publishers}
    for name in FUNCTIONS:
        for arn in graph.may(f"{graph.prefix}{name}").get("s3:PutObject", ()):
            folder = arn.split("/")[1]
            if folder in found:
                found[folder].add(name)
    return [f"{folder}: {names}" for folder, names in found.items() if names != publishers[folder]]


def everybody_may_do_what_the_runtime_does_for_every_stage(graph):
    """See "Rights that do not follow from a stage's row" in docs/aws.md."""
    faults = []
    for name in FUNCTIONS:
        may = graph.may(f"{graph.prefix}{name}")
        read = {arn.partition("/")[2] for arn in may["s3:GetObject"]}
        wanted = {"bundles/*", "models/*"} | ({"inbox/*", "aws/lambda/*"} if name == "ingest" else set())
        faults += [f"{name} does not read {folder}" for folder in sorted(wanted - read)]
        if not any(arn.endswith("/dead-letters/*") for arn in may["s3:PutObject"]):
            faults.append(f"{name} cannot keep large dead letters")
        lists = [s for s in graph.statements(f"{graph.prefix}{name}") if "s3:ListBucket" in listed(s["Action"])]
        if not any(s["Effect"] == "Allow" and "Condition" not in s for s in lists):
            faults.append(f"{name} is told 403 of a state that is not there yet")
        for action, table in (("dynamodb:GetItem", CUTOFFS.name), ("dynamodb:UpdateItem", "meter")):
            if table not in {last(arn).removeprefix(graph.prefix) for arn in may[action]}:
                faults.append(f"{name}: no {action} on {table}")
    return faults


def what_is_deployed_is_put_in_force(graph):
    called = [(r["functionName"], r.json("input"), r.get("triggers")) for r in graph.of("lambda:Invocation")]
    code = graph.one("lambda:Function", f"{graph.prefix}clean")["sourceCodeHash"]
    wanted = (f"{graph.prefix}api", {"command": "publish-knowledge"}, {"code": code})
    return [] if called == [wanted] else [f"what is called after a deployment: {called}"]


def files_reach_ingest(graph):
    """Those of people, and the batches that Lambda has given up."""
    (notification,) = graph.of("BucketNotification")
    found = {
        call["filterPrefix"]: last(call["lambdaFunctionArn"].rpartition(":")[0])
        for call in notification["lambdaFunctions"]
    }
    wanted = dict.fromkeys(("inbox/", "aws/lambda/"), f"{graph.prefix}ingest")
    return [] if found == wanted else [f"{notification}: {found}"]


def a_device_speaks_for_itself_only(graph):
    faults = []
    policies = {r.name.removeprefix(graph.prefix): r for r in graph.of("iot:Policy")}
    for statement in policies["device"].json("policy")["Statement"]:
        faults += [
            f"a device may {statement['Action']} {resource}"
            for resource in listed(statement["Resource"])
            if "${iot:Connection.Thing.ThingName}" not in resource or "*" in resource
        ]
    for template in graph.of("ProvisioningTemplate"):
        override = template.json("templateBody")["Resources"]["thing"].get("OverrideSettings", {})
        if set(override.values()) != {"FAIL"}:
            faults.append(f"{template}: a name that is taken can be registered again")
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
