"""What feeds what on Azure: hubs, groups, apps, files, devices, and the order of an upgrade."""

from watchkeeper.topology import DEAD_LETTER, TOPICS
from watchkeeper_infra.functions import FUNCTIONS

NEVER = ("WEBSITE_RUN_FROM_PACKAGE", "FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_EXTENSION_VERSION", "SCM_DO_BUILD",
         "ENABLE_ORYX_BUILD")  # fmt: skip
CONNECTIONS = ("AzureWebJobsStorage__", "WatchkeeperEventHubs__", "WatchkeeperStorage__")


def hubs_are_those_of_the_pipeline(graph):
    config = graph.made["config"]
    made = {hub["eventHubName"]: hub for hub in graph.of("eventhub:EventHub")}
    faults = sorted(set(made) ^ set(TOPICS)) + (["more than ten hubs"] if len(made) > 10 else [])
    for name in set(made) & set(TOPICS):
        partitions = config.partitions if TOPICS[name].sharded else 1
        hours = config.dead_letter_hours if name == DEAD_LETTER.name else config.retention_hours
        if made[name]["partitionCount"] != partitions:
            faults.append(f"{name} has {made[name]['partitionCount']} partitions, not {partitions}")
        if made[name]["retentionDescription"]["retentionTimeInHours"] != hours:
            faults.append(f"{name} is kept for another time than configured")
    return faults


def triggers_are_those_of_the_table(graph):
    groups = {(g["consumerGroupName"], g["eventHubName"]) for g in graph.of("eventhub:ConsumerGroup")}
    wanted = {(name, topic.name) for name, function in FUNCTIONS.items() for topic in function.topics}
    faults = sorted(map(str, groups ^ (wanted | {("operators", DEAD_LETTER.name)})))
    stages = {told["WATCHKEEPER_STAGE"] for told in graph.settings.values()}
    return faults + sorted(stages ^ set(FUNCTIONS))


def files_go_to_ingest(graph):
    (told,) = graph.of("eventgrid:SystemTopicEventSubscription")
    (topic,) = graph.of("eventgrid:SystemTopic")
    to, of = told["destination"]["resourceId"], told["filter"]
    faults = [] if to.endswith("/functions/files") and "-ingest-" in to else [f"files go to {to}"]
    if of["subjectBeginsWith"] != "/blobServices/default/containers/lake/blobs/inbox/":
        faults.append(f"files of {of['subjectBeginsWith']}")
    if of["includedEventTypes"] != ["Microsoft.Storage.BlobCreated"] or not topic["source"].endswith("lake"):
        faults.append("what is not a new file, or of the lake, is told too")
    released = next(r for r in graph.releases if r.name.endswith("-ingest"))
    return faults + ([] if released.urn in told.depends_on else ["files are told of before ingest has its code"])


def telemetry_goes_to_our_own_hub(graph):
    hub = graph.one("iothub:IotHubResource")
    routing = hub["properties"]["routing"]
    (end,) = routing["endpoints"]["eventHubs"]
    (route,) = routing["routes"]
    faults = [] if end["authenticationType"] == "identityBased" and not end.get("connectionString") else ["by a key"]
    if end["identity"]["userAssignedIdentity"] not in hub["identity"]["userAssignedIdentities"]:
        faults.append("by an identity that is not its own")
    if (end["entityPath"], route["endpointNames"], route["condition"]) != ("device-telemetry", [end["name"]], "true"):
        faults.append(f"telemetry goes to {end['entityPath']}")
    if routing["fallbackRoute"]["isEnabled"] or not route["isEnabled"]:
        faults.append("telemetry goes elsewhere")
    rights = [r.urn for r in graph.of("authorization:RoleAssignment") if r.name.endswith("-hub-send")]
    return faults + ([] if set(rights) & hub.depends_on else ["the hub is made before it may send"])


def apps_are_as_the_platform_wants_them(graph):
    faults = []
    plans = [app["serverFarmId"] for app in graph.of("WebApp")]
    faults += ["two apps in one plan"] if len(set(plans)) != len(plans) else []
    faults += [f"{p}: {p['sku']}" for p in graph.of("AppServicePlan") if p["sku"] != FLEX]
    for app in graph.of("WebApp"):
        made = app["functionAppConfig"]
        store = made["deployment"]["storage"]
        if (store["type"], store["authentication"]["type"]) != ("blobContainer", "UserAssignedIdentity"):
            faults.append(f"{app}: its package comes by a key")
        if made["runtime"] != {"name": "python", "version": "3.13"}:
            faults.append(f"{app}: {made['runtime']}")
    for name, told in graph.settings.items():
        faults += [f"{name}: {key}" for key in told if key.startswith(NEVER) or key == "AzureWebJobsStorage"]
        faults += [
            f"{name}: {connection}"
            for connection in CONNECTIONS
            if told.get(f"{connection}credential") != "managedidentity" or not told.get(f"{connection}clientId")
        ]
        if not 0 < len(told.get("AzureFunctionsWebHost__hostid", "")) <= 32:
            faults.append(f"{name}: whose host it is")
    hosts = [told.get("AzureFunctionsWebHost__hostid") for told in graph.settings.values()]
    return faults + (["two hosts have one id"] if len(set(hosts)) != len(hosts) else [])


FLEX = {"name": "FC1", "tier": "FlexConsumption"}


def every_app_runs_a_package(graph):
    released = {r["app"] for r in graph.releases}
    faults = [f"{len(released)} of {len(FUNCTIONS)} apps have code"] if len(released) != len(FUNCTIONS) else []
    for r in graph.releases:
        faults += [f"{r}: another container than its app's"] if not r["container"].endswith("/packages") else []
        app = next(a for a in graph.of("WebApp") if r["app"].endswith(f"/{a['name']}"))
        if app["functionAppConfig"]["deployment"]["storage"]["value"] != r["container"]:
            faults.append(f"{app} looks for its package elsewhere")
    return faults


def consumers_are_upgraded_before_producers(graph):
    released = {r.name.removeprefix(graph.prefix): r for r in graph.releases}
    return [
        f"{producer.name} is upgraded before {consumer.name}"
        for producer in FUNCTIONS.values()
        for consumer in FUNCTIONS.values()
        if set(producer.emits) & set(consumer.topics)
        and released[consumer.name].urn not in released[producer.name].depends_on
    ]


def the_dashboard_may_call_the_api_and_nobody_else(graph):
    faults = []
    for app in graph.of("WebApp"):
        origins = (app["siteConfig"].get("cors") or {}).get("allowedOrigins", [])
        wanted = ["https://calm-sea-1.azurestaticapps.net"] if "-api-" in app["name"] else []
        if origins != wanted:
            faults.append(f"{app} may be called by pages of {origins}")
    return faults
