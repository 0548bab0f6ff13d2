"""Who may do what on Azure: identities, assignments, conditions, secrets, and that no key opens anything."""

import re

from tests.infra.graph import secrets
from watchkeeper.pipeline import PIPELINE
from watchkeeper.topology import CUTOFFS, DEAD_LETTER, Http
from watchkeeper_infra.azure_roles import ROLES
from watchkeeper_infra.functions import FUNCTIONS
from watchkeeper_infra.words import HUB_OF_LISTENERS

NAMES = {role: name for name, role in ROLES.items()}
READER, WRITER = "0001", "0002"
PUBLISHED = {"bundles/": {"api", "budget_cutoff"}, "models/": {"retrain"}, "segments/": {"store", "api"}}
OWN_STORAGE = {"Storage Blob Data Owner", "Storage Queue Data Contributor", "Storage Table Data Contributor"}


def rows_of(name):
    """The rows of the table whose work a function does."""
    own = [stage for stage in PIPELINE if stage.name == name]
    return own if name != "api" else [s for s in PIPELINE if any(isinstance(t, Http) for t in s.on)]


def an_identity_of_its_own(graph):
    used = [tuple(app["identity"]["userAssignedIdentities"]) for app in graph.of("WebApp")]
    faults = [f"{app} has not one identity" for app in graph.of("WebApp") if len(set(used)) != len(used)]
    faults += [f"{who}: several identities" for who in used if len(who) != 1]
    hub = graph.one("iothub:IotHubResource")["identity"]["userAssignedIdentities"]
    return faults + [f"the hub shares {who}" for who in hub if (who,) in used]


def an_app_may_do_what_its_row_says_and_no_more(graph):
    faults = []
    for name, rights in graph.rights.items():
        rows = rows_of(name)
        told = {"receivers"} if any("receivers" in row.uses for row in rows) else set()
        told |= {"model"} if any("language_model" in row.uses for row in rows) else set()
        there = {secret["secretName"] for secret in graph.of("keyvault:Secret")}
        wanted = {
            "Azure Event Hubs Data Sender": {t.name for row in rows for t in row.emits} | {DEAD_LETTER.name},
            "Azure Event Hubs Data Receiver": {t.name for t in FUNCTIONS[name].topics},
            "Key Vault Secrets User": told & there,
        }
        for role, scopes in wanted.items():
            found = {right["scope"].rpartition("/")[2] for right in rights if NAMES.get(role_of(right)) == role}
            if found != scopes:
                faults.append(f"{name}: {role} on {sorted(found ^ scopes)}")
        faults += _rows(graph, name, rows)
    return faults


def _rows(graph, name, rows):
    written = {table.name for row in rows for table in row.writes} | {"meter"}
    read = {table.name for row in rows for table in row.reads} | {CUTOFFS.name}
    if name == "api":
        written |= {"api-keys"}
    found = {"w": set(), "r": set()}
    for right in graph.row_rights[name]:
        kind = {READER: "r", WRITER: "w"}[right["roleDefinitionId"][-4:]]
        found[kind].add(right["scope"].rpartition("/colls/")[2])
    wanted = {"w": written, "r": read - written}
    return [
        f"{name}: rows {kind} {sorted(found[kind] ^ wanted[kind])}" for kind in wanted if found[kind] != wanted[kind]
    ]


def no_right_reaches_further(graph):
    """No right to a whole group or subscription; blobs only below prefixes, states only one's own."""
    faults = []
    for right in graph.of("authorization:RoleAssignment"):
        kinds = right["scope"].partition("/providers/")[2]
        if not kinds or role_of(right) not in {
            *NAMES,
            *(own["roleDefinitionId"] for own in graph.of("RoleDefinition")),
        }:
            faults.append(f"{right}: {right['scope']}")
        if right["scope"].endswith("/containers/lake") and not right.get("condition"):
            faults.append(f"{right}: may touch every blob")
    for own in graph.of("RoleDefinition"):
        (may,) = own["permissions"]
        wide = [action for action in may["dataActions"] if "/containers/blobs/" not in action or "*" in action]
        if may["actions"] or wide or own["assignableScopes"] != [own["scope"]] or own["scope"].count("/") != 4:
            faults.append(f"{own}: {may}")
    for name, rights in graph.rights.items():
        host = f"wk{graph.digest}{name.replace('_', '')}"
        faults += [
            f"{name}: {NAMES[role_of(right)]} on {right['scope']}"
            for right in rights
            if NAMES.get(role_of(right)) in OWN_STORAGE and not right["scope"].endswith(f"/{host}"[:25])
        ]
        states = {below for below in graph.written_below(name) if below.startswith("state/")}
        if states != ({f"state/{name}/"} if FUNCTIONS[name].stage.state else set()):
            faults.append(f"{name}: writes the states {sorted(states)}")
    return faults


def only_who_tells_or_lets_in_reaches_listeners(graph):
    """The API lets people listen, notify tells them; both as themselves, and nobody comes without being let in."""
    (service,) = graph.of("webpubsub:WebPubSub")
    (hub,) = graph.of("webpubsub:WebPubSubHub")
    faults = []
    for name, rights in graph.rights.items():
        wanted = [service["resourceName"]] if name in {"api", "notify"} else []
        found = [r["scope"].rpartition("/")[2] for r in rights if NAMES.get(role_of(r)) == "Web PubSub Service Owner"]
        if found != wanted:
            faults.append(f"{name}: reaches {found}")
        url = graph.settings[name].get("WATCHKEEPER_WEB_PUBSUB", "")
        if url != (f"https://{service['resourceName']}.webpubsub.azure.com" if wanted else ""):
            faults.append(f"{name}: is told of the listeners {url!r}")
    if (hub["hubName"], hub["resourceName"]) != (HUB_OF_LISTENERS, service["resourceName"]):
        faults.append(f"{hub}: the functions call another one")
    if hub["properties"]["anonymousConnectPolicy"] != "deny" or hub["properties"].get("eventHandlers"):
        faults.append(f"{hub}: {hub['properties']}")
    config = graph.made["config"]
    if (service["sku"]["name"], service["sku"].get("capacity")) != (config.web_pubsub, config.web_pubsub_units):
        faults.append(f"{service}: {service['sku']}")
    return faults


def the_model_is_asked_as_oneself_or_by_a_key(graph):
    """By who explains, and nobody else: with a right to one account and no key, or with a key and no right."""
    config = graph.made["config"]
    faults = []
    for name, rights in graph.rights.items():
        asks = config.model != "none" and any("language_model" in row.uses for row in rows_of(name))
        found = [r["scope"] for r in rights if NAMES.get(role_of(r)) == "Cognitive Services OpenAI User"]
        if found != ([config.model_account] if asks and config.model_account else []):
            faults.append(f"{name}: may ask {found}")
        told = {key.removeprefix("WATCHKEEPER_MODEL_") for key in graph.settings[name] if "_MODEL_" in key}
        login = {"LOGIN"} if config.model_account else {"SECRET"}
        if told & {"LOGIN", "SECRET"} != (login if asks else set()):
            faults.append(f"{name}: is told {sorted(told)} of the model")
    kept = [s["secretName"] for s in graph.of("keyvault:Secret") if s["secretName"] == "model"]
    wanted = ["model"] if config.model != "none" and not config.model_account else []
    return faults + ([] if kept == wanted else [f"the vault has {kept}"])


def only_who_publishes_may_replace_what_is_published(graph):
    found = {below: {n for n in graph.rights if below in graph.written_below(n)} for below in PUBLISHED}
    return [f"{below}: {names}" for below, names in found.items() if names != PUBLISHED[below]]


def no_key_opens_anything(graph):
    wanted = [
        ("storage:StorageAccount", "allowSharedKeyAccess", False),
        ("storage:StorageAccount", "allowBlobPublicAccess", False),
        ("storage:StorageAccount", "isLocalUserEnabled", False),
        ("eventhub:Namespace", "disableLocalAuth", True),
        ("cosmosdb:DatabaseAccount", "disableLocalAuth", True),
        ("cosmosdb:DatabaseAccount", "disableKeyBasedMetadataWriteAccess", True),
        ("webpubsub:WebPubSub", "disableLocalAuth", True),
        ("applicationinsights:Component", "disableLocalAuth", True),
    ]
    faults = [f"{r}: {key}" for kind, key, value in wanted for r in graph.of(kind) if r.get(key) is not value]
    for hub in graph.of("iothub:IotHubResource"):
        properties = hub["properties"]
        policies = [(p["keyName"], p["rights"]) for p in properties["authorizationPolicies"]]
        if policies != [("provisioning", "RegistryRead, RegistryWrite, ServiceConnect")]:
            faults.append(f"{hub}: keys for {policies}")
        if not (properties.get("disableDeviceSAS") and properties.get("disableModuleSAS")):
            faults.append(f"{hub}: devices may come with keys")
    for vault in graph.of("keyvault:Vault"):
        properties = vault["properties"]
        if not (properties.get("enableRbacAuthorization") and properties.get("enablePurgeProtection")):
            faults.append(f"{vault}: by policies of its own, or purged at once")
    return faults


def nothing_is_said_in_the_clear(graph):
    wanted = [
        ("storage:StorageAccount", "minimumTlsVersion", "TLS1_2"),
        ("storage:StorageAccount", "enableHttpsTrafficOnly", True),
        ("eventhub:Namespace", "minimumTlsVersion", "1.2"),
        ("cosmosdb:DatabaseAccount", "minimalTlsVersion", "Tls12"),
        ("WebApp", "httpsOnly", True),
    ]
    faults = [f"{r}: {key}" for kind, key, value in wanted for r in graph.of(kind) if r.get(key) != value]
    faults += [f"{app}: TLS" for app in graph.of("WebApp") if app["siteConfig"].get("minTlsVersion") != "1.2"]
    hub = graph.one("iothub:IotHubResource")
    return faults + ([] if hub["properties"].get("minTlsVersion") == "1.2" else [f"{hub}: TLS"])


def what_is_private_is_reached_inside_only(graph):
    private = graph.made["config"].private_endpoints
    wanted = {"lake", "stream", "tables", "secrets", "listeners"} if private else set()
    ends = {r["privateEndpointName"].rpartition("-")[2] for r in graph.of("network:PrivateEndpoint")}
    faults = [f"endpoints: {sorted(ends ^ wanted)}"] if ends != wanted else []
    public = "Disabled" if private else "Enabled"
    stores = [graph.one("storage:StorageAccount", f"{graph.prefix}lake"), graph.one("cosmosdb:DatabaseAccount")]
    stores += [graph.one("eventhub:NamespaceNetworkRuleSet")]
    faults += [f"{store}: {store['publicNetworkAccess']}" for store in stores if store["publicNetworkAccess"] != public]
    vault = graph.one("keyvault:Vault")["properties"]
    faults += [] if vault["publicNetworkAccess"] == public else ["the vault is open to all"]
    (listeners,) = graph.of("webpubsub:WebPubSub")
    rules = {"defaultAction": "Allow", "publicNetwork": {"deny": ["RESTAPI", "ServerConnection", "Trace"]}}
    faults += [] if listeners.get("networkACLs") == (rules if private else None) else ["anybody may reach listeners"]
    joined = [app for app in graph.of("WebApp") if app.get("virtualNetworkSubnetId")]
    return faults + ([] if len(joined) == (len(FUNCTIONS) if private else 0) else ["not every app is inside"])


def secrets_are_marked(graph):
    hidden = [*graph.made["secret_values"], "site-token-very-secret", "hub-key-very-secret"]
    hidden += ["app-key-very-secret"] if graph.made["config"].budget else []
    marked = [str(value) for r in graph.made["resources"] for value in secrets(r.get("object", {}))]
    faults = [f"{s} is not marked" for s in hidden if not any(s in value for value in marked)]
    in_the_clear = str([_without_secrets(r.get("object", {})) for r in graph.made["resources"]])
    return faults + [f"{s} is in plain text" for s in hidden if s in in_the_clear]


def apps_are_told_no_secret(graph):
    faults = []
    for name, told in graph.settings.items():
        faults += [f"{name} is told {key}" for key in told if re.search(r"KEY$|PASSWORD|ConnectionString$", key)]
        faults += [f"{name} is told {s}" for s in graph.made["secret_values"] if s in str(told)]
    return faults


def role_of(right):
    """The id of the role that an assignment gives."""
    return right["roleDefinitionId"].rpartition("/")[2]


def _without_secrets(value):
    if isinstance(value, dict):
        if "4dabf18193072939515e22adb298388d" in value:
            return None
        return {key: _without_secrets(item) for key, item in value.items()}
    return [_without_secrets(item) for item in value] if isinstance(value, list) else value
