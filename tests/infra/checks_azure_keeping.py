"""What is kept on Azure, how, and who is told: retention, protection, names, tags, alarms, budgets."""

import re
from datetime import datetime

from watchkeeper.pipeline import STAGES
from watchkeeper.topology import TABLES
from watchkeeper_infra.functions import FUNCTIONS
from watchkeeper_infra.words import RUNTIME_TABLES

OWN_TABLES = set(RUNTIME_TABLES) - {"connections"}  # Web PubSub itself knows who listens

KEPT = ("ResourceGroup", "eventhub:Namespace", "eventhub:EventHub", "cosmosdb:DatabaseAccount",
        "cosmosdb:SqlResourceSqlDatabase", "cosmosdb:SqlResourceSqlContainer", "keyvault:Vault",
        "iothub:IotHubResource", "deviceprovisioningservices:IotDpsResource")  # fmt: skip
LOCKED = ("lake", "stream", "tables", "secrets", "hub")
NAMED = {
    "storage:StorageAccount": ("accountName", r"[a-z0-9]{3,24}"),
    "keyvault:Vault": ("vaultName", r"[a-zA-Z][a-zA-Z0-9-]{2,23}"),
    "cosmosdb:DatabaseAccount": ("accountName", r"[a-z0-9][a-z0-9-]{2,43}"),
    "eventhub:Namespace": ("namespaceName", r"[a-zA-Z][a-zA-Z0-9-]{5,49}"),
    "iothub:IotHubResource": ("resourceName", r"[a-zA-Z0-9-]{3,50}"),
    "deviceprovisioningservices:IotDpsResource": ("provisioningServiceName", r"[a-zA-Z0-9-]{3,64}"),
    "WebApp": ("name", r"[a-zA-Z0-9][a-zA-Z0-9-]{0,58}[a-zA-Z0-9]"),
    "AppServicePlan": ("name", r"[a-zA-Z0-9-]{1,60}"),
    "webpubsub:WebPubSub": ("resourceName", r"[a-zA-Z][a-zA-Z0-9-]{2,62}"),
    "managedidentity:UserAssignedIdentity": ("resourceName", r"[a-zA-Z0-9][\w-]{2,127}"),
    "monitor:ActionGroup": ("groupShortName", r".{1,12}"),
}
"""What Azure takes for a name, of those that are particular about it."""


def every_log_ends(graph):
    days = graph.made["config"].log_days
    (workspace,) = graph.of("operationalinsights:Workspace")
    (insights,) = graph.of("applicationinsights:Component")
    faults = [] if workspace.get("retentionInDays") == days else [f"{workspace}: {workspace.get('retentionInDays')}"]
    if not insights["workspaceResourceId"].endswith(workspace["workspaceName"]):
        faults.append("what apps say lies elsewhere")
    return faults + [f"{n} says nothing" for n, t in graph.settings.items() if INSIGHTS not in t]


INSIGHTS = "APPLICATIONINSIGHTS_CONNECTION_STRING"


def tables_are_those_of_the_pipeline(graph):
    faults = sorted({t["containerName"] for t in graph.of("cosmosdb:SqlResourceSqlContainer")} ^ {*TABLES, *OWN_TABLES})
    for table in graph.of("cosmosdb:SqlResourceSqlContainer"):
        resource = table["resource"]
        if resource["partitionKey"]["paths"] != ["/pk"] or resource.get("defaultTtl") != -1:
            faults.append(f"{table}: its key, or rows cannot expire")
        if resource["indexingPolicy"]["excludedPaths"] != [{"path": "/*"}]:
            faults.append(f"{table}: everything is indexed")
    account = graph.one("cosmosdb:DatabaseAccount")
    backup = account["backupPolicy"]
    if (backup["type"], backup["continuousModeProperties"]) != (
        "Continuous",
        {"tier": f"Continuous{graph.made['config'].backup_days}Days"},
    ):
        faults.append("the tables cannot be restored to a moment")
    serverless = account["capabilities"] == [{"name": "EnableServerless"}]
    options = graph.one("cosmosdb:SqlResourceSqlDatabase").get("options")
    wanted = graph.made["config"].cosmos == "serverless"
    return faults + ([] if serverless == wanted and bool(options) != wanted else ["charged in another way"])


def what_holds_data_is_protected_and_locked(graph):
    kept = [resource for kind in KEPT for resource in graph.of(kind)]
    kept += [graph.one("storage:StorageAccount", f"{graph.prefix}lake")]
    faults = [f"{resource} may be deleted by mistake" for resource in kept if not resource.made.get("protect")]
    locks = {r["lockName"].rpartition("-")[2]: r for r in graph.of("authorization:ManagementLockByScope")}
    faults += sorted(set(locks) ^ set(LOCKED))
    return faults + [f"{lock}: {lock['level']}" for lock in locks.values() if lock["level"] != "CanNotDelete"]


def how_devices_are_divided_cannot_be_changed_by_mistake(graph):
    config = graph.made["config"]
    layout = [r for r in graph.of("keyvault:Secret") if r["secretName"] == "layout"]
    text = f'{{"shards": {config.shards}, "partitions": {config.partitions}}}'
    faults = [] if [r["properties"]["value"] for r in layout] == [text] else ["it is written down nowhere"]
    divided = [(r, "partitionCount") for r in graph.of("eventhub:EventHub")] + [(r, "properties") for r in layout]
    return faults + [
        f"{r}: another {key} would be taken"
        for r, key in divided
        if key not in r.made.get("replaceOnChanges", []) or bool(r.made.get("protect")) != config.protect
    ]


def what_is_old_goes_or_cools(graph):
    (policy,) = graph.of("storage:ManagementPolicy")
    rules = {
        r["definition"]["filters"]["prefixMatch"][0]: set(r["definition"]["actions"]["baseBlob"])
        for r in policy["policy"]["rules"]
    }
    wanted = {"lake/inbox/": {"delete"}, "lake/dead-letters/": {"delete"}, "lake/segments/": {"tierToCool"}}
    return [] if rules == wanted else [f"{rules}"]


def everything_is_tagged(graph):
    faults = []
    for resource in graph.resources:
        tags = resource.get("tags")
        if isinstance(tags, dict):
            missing = {"project", "stack", "stage", "cost-centre"} - set(tags)
            faults += [f"{resource} has no tag {tag}" for tag in sorted(missing)]
            if tags.get("stage") not in {"all", *STAGES}:
                faults.append(f"{resource} is of the stage {tags.get('stage')}")
    return faults


def names_are_ones_that_azure_takes(graph):
    faults = [
        f"{r}: {r[key]}"
        for kind, (key, pattern) in NAMED.items()
        for r in graph.of(kind)
        if not re.fullmatch(pattern, r[key])
    ]
    unique = [(kind, r[key]) for kind, (key, _) in NAMED.items() for r in graph.of(kind)]
    ids = [("id", r["roleAssignmentName"]) for r in graph.of("authorization:RoleAssignment")]
    ids += [("id", r["roleAssignmentId"]) for r in graph.of("cosmosdb:SqlResourceSqlRoleAssignment")]
    return faults + sorted({f"{name} is there twice" for name in [*unique, *ids] if [*unique, *ids].count(name) > 1})


def everything_belongs_to_a_component(graph):
    return [f"{r} stands alone" for r in graph.resources if r.made.get("custom") and "watchkeeper:azure:" not in r.urn]


def people_hear_of_what_is_wrong(graph):
    metrics = {r["ruleName"].removeprefix(graph.prefix): r for r in graph.of("monitor:MetricAlert")}
    queries = {r["ruleName"].removeprefix(graph.prefix): r for r in graph.of("monitor:ScheduledQueryRule")}
    queries = {name: r for name, r in queries.items() if not name.startswith("alerts-")}
    wanted = {f"{name}-{topic.name}-stalled" for name, function in FUNCTIONS.items() for topic in function.topics}
    wanted |= {"dead-letters", "stream-throttles", "tables-throttles", "hub-dropped", "hub-throttles"}
    faults = [f"no alarm {name}" for name in sorted(wanted - set(metrics))]
    asked = {f"{name}-{what}" for name in FUNCTIONS for what in ("errors", "p95")}
    asked |= {"lag", "canary-silent"} if graph.made["config"].canary_key else {"lag"}
    faults += [f"no alarm {name}" for name in sorted(asked ^ set(queries))]
    for r in [*metrics.values(), *queries.values()]:
        wanted = {f"{graph.prefix}alerts-{name}" for name in ("operations", LEVELS[int(r["severity"])])}
        faults += [] if _groups(r) == wanted else [f"{r} is told to {sorted(_groups(r))}"]
    silent = queries.get("canary-silent")
    if silent and silent["criteria"]["allOf"][0]["operator"] != "LessThan":
        faults.append("a canary that says nothing is taken for well")
    tests = graph.of("applicationinsights:WebTest")
    return faults + ([] if bool(tests) == bool(graph.made["config"].canary_key) else ["nobody sends the canary"])


LEVELS = ("emergency", "critical", "warning", "info")  # by Azure Monitor's own numbers


def alerts_about_devices_reach_who_is_named_for_their_severity(graph):
    """By an action group each; a rule over what notify says of alerts tells it, where there is anybody to be told."""
    mailed = graph.made["config"].alert_emails
    made = {g["actionGroupName"].removeprefix(f"{graph.prefix}alerts-"): g for g in graph.of("monitor:ActionGroup")}
    faults = [f"no action group {name}" for name in (*LEVELS, "operations") if name not in made]
    for name, group in made.items():
        found = {each["emailAddress"] for each in group.get("emailReceivers") or []}
        faults += [] if found == set(mailed.get(name, ())) else [f"{group}: tells {sorted(found)}"]
    rules = {r["ruleName"].removeprefix(f"{graph.prefix}alerts-"): r for r in graph.of("monitor:ScheduledQueryRule")}
    rules = {name: r for name, r in rules.items() if name in LEVELS}
    faults += [f"rules for {sorted(rules)}"] if set(rules) != {n for n in mailed if n in LEVELS and mailed[n]} else []
    for name, rule in rules.items():
        (condition,) = rule["criteria"]["allOf"]
        if _groups(rule) != {f"{graph.prefix}alerts-{name}"} or LEVELS[int(rule["severity"])] != name:
            faults.append(f"{rule}: tells {sorted(_groups(rule))}")
        if f"== '{name}'" not in condition["query"] or """'{"alert":'""" not in condition["query"]:
            faults.append(f"{rule}: asks for {condition['query']}")
        if "alert" not in {each["name"] for each in condition["dimensions"]} or rule["autoMitigate"]:
            faults.append(f"{rule}: takes several alerts for one")
    return faults


def _groups(rule):
    """The names of the action groups that a rule tells."""
    told = rule.get("actions") or []
    ids = told["actionGroups"] if isinstance(told, dict) else [each["actionGroupId"] for each in told]
    return {each.rpartition("/")[2] for each in ids}


def two_budgets_stand_behind_the_meter(graph):
    wanted = 2 if graph.made["config"].budget else 0
    budgets = graph.of("consumption:Budget")
    faults = [] if len(budgets) == wanted else [f"{len(budgets)} budgets, not {wanted}"]
    for budget in budgets:
        told = budget["notifications"].values()
        if len({n["thresholdType"] for n in told}) != 1 or len(told) > 5 or any(not n["contactGroups"] for n in told):
            faults.append(f"{budget}: {len(told)} notifications")
        began = datetime.fromisoformat(budget["timePeriod"]["startDate"])
        if began.day != 1 or budget.made.get("ignoreChanges") != ["timePeriod"]:
            faults.append(f"{budget}: it begins {began}, and would begin anew")
    groups = [g for g in graph.of("monitor:ActionGroup") if "bill" in g.name]
    calls = [f for g in groups for f in g["azureFunctionReceivers"] if "budget-cutoff" in f["functionAppResourceId"]]
    return faults + ([] if len(calls) == (1 if wanted else 0) else ["budget_cutoff is not told"])
