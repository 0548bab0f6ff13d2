"""The graph that a run of the program has registered, as tests ask it."""

import json
import re
from functools import cached_property

SECRET = "4dabf18193072939515e22adb298388d"


class Resource:
    """One registration: its type, name, inputs, and what it hangs on."""

    def __init__(self, made):
        self.made = made
        self.type, self.name, self.urn = made["type"], made["name"], made["urn"]
        self.inputs = plain(made.get("object", {}))
        self.kind = self.type.rpartition(":")[2]

    def __getitem__(self, key):
        return self.inputs[key]

    def get(self, key, default=None):
        return self.inputs.get(key, default)

    def __repr__(self):
        return f"{self.type}::{self.name}"

    @property
    def depends_on(self):
        return set(self.made.get("dependencies", []))

    def json(self, key):
        return json.loads(self[key])


class Graph:
    """All registrations of one run."""

    def __init__(self, made):
        self.made = made

    @cached_property
    def resources(self):
        return [Resource(made) for made in self.made["resources"]]

    def of(self, kind):
        """All of a kind, by the last part of their type and, where that is not enough, its first: `s3:Bucket`."""
        service, _, name = kind.rpartition(":")
        return [
            r
            for r in self.resources
            if r.made.get("custom")
            and r.kind == name
            and (not service or r.type.split(":")[1].partition("/")[0] == service)
        ]

    def one(self, kind, name=""):
        (found,) = [resource for resource in self.of(kind) if name in ("", resource.name)]
        return found

    @property
    def stack_outputs(self):
        (found,) = [value for urn, value in self.made["outputs"].items() if "pulumi:pulumi:Stack" in urn]
        return plain(found)

    @property
    def stage_functions(self):
        """The functions by stage."""
        return {r["tags"]["stage"]: r for r in self.of("lambda:Function")}

    @property
    def prefix(self):
        """What stands before every name of the stack."""
        return f"watchkeeper-{self.made['stack']}-"

    def may(self, role):
        """What a role may: the ARNs by action."""
        may = {}
        for statement in self.statements(role):
            if statement["Effect"] == "Allow":
                for action in listed(statement["Action"]):
                    may.setdefault(action, set()).update(listed(statement["Resource"]))
        return may

    def statements(self, name):
        """The statements of the role with this name, of all its policies."""
        policies = [policy for policy in self.of("RolePolicy") if policy["role"] == name]
        return [statement for policy in policies for statement in policy.json("policy")["Statement"]]


class AzureGraph(Graph):
    """A graph on Azure, with what its apps are told and may do, by stage."""

    @property
    def releases(self):
        """What makes an app run its package."""
        return [r for r in self.resources if r.kind == "Resource" and "newest" in r.inputs]

    @property
    def digest(self):
        """What the stack's names in the world end with."""
        return self.one("eventhub:Namespace")["namespaceName"].rpartition("-")[2]

    @cached_property
    def settings(self):
        """What each app is told."""
        told = [{s["name"]: s["value"] for s in app["siteConfig"]["appSettings"]} for app in self.of("WebApp")]
        return {each["WATCHKEEPER_STAGE"]: each for each in told}

    @cached_property
    def rights(self):
        """The assignments of each app, but those to rows."""
        return self._rights("authorization:RoleAssignment")

    @cached_property
    def row_rights(self):
        """The assignments of each app to rows."""
        return self._rights("cosmosdb:SqlResourceSqlRoleAssignment")

    def written_below(self, stage):
        """The beginnings of the paths of blobs that an app may write."""
        found = [r for r in self.rights[stage] if r.get("condition") and r.name.endswith("-write-blobs")]
        return {prefix for r in found for prefix in re.findall(r"StringStartsWith '([^']+)'", r["condition"])}

    def _rights(self, kind):
        """The monitor makes an identity's client id of its principal id."""
        who = {told["AZURE_CLIENT_ID"].replace("-5", "-4", 1): stage for stage, told in self.settings.items()}
        found = {stage: [] for stage in self.settings}
        for right in self.of(kind):
            if right["principalId"] in who:
                found[who[right["principalId"]]].append(right)
        return found


def plain(value):
    """Inputs without the marks of secrets and outputs; a file to be uploaded stays as it is, by its `path`."""
    if isinstance(value, dict):
        if SECRET in value and "path" not in value:
            return plain(value.get("value"))
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def secrets(value):
    """The values that are marked as secrets."""
    if isinstance(value, dict):
        if SECRET in value:
            yield value.get("value")
        else:
            for item in value.values():
                yield from secrets(item)
    elif isinstance(value, list):
        for item in value:
            yield from secrets(item)


def listed(value):
    """What may be one or several, as a list."""
    return value if isinstance(value, list) else [value]


def last(arn):
    """The last part of an ARN: a table's, topic's or group's name."""
    return re.split(r"[:/]", arn)[-1]
