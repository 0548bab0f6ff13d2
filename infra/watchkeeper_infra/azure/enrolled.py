"""An enrolment group, as a resource: azure-native has none for it, so this is a provider of our own."""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi import dynamic

from watchkeeper_infra.enrolment import dismiss, enrol


class GroupProvider(dynamic.ResourceProvider):
    """Makes, replaces and dismisses the group."""

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        enrol(props["service"], props["group"], props["authority"])
        return dynamic.CreateResult(id_=f"{props['service']}/{props['group']}", outs=props)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.DiffResult:
        replaced = [name for name in ("service", "group") if olds.get(name) != news.get(name)]
        changed = bool(replaced) or olds.get("authority") != news.get("authority")
        return dynamic.DiffResult(changes=changed, replaces=replaced, delete_before_replace=True)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        enrol(news["service"], news["group"], news["authority"])
        return dynamic.UpdateResult(outs=news)

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        dismiss(props["service"], props["group"])


class Enrolled(dynamic.Resource):
    """Whose certificate is signed by `authority` (PEM) is let in by the `group` of the provisioning `service`."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions, **props: pulumi.Input[str]) -> None:
        super().__init__(GroupProvider(), name, props, opts)
