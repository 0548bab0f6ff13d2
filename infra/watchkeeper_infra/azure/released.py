"""What runs in a function app, as a resource: azure-native has none for it, so this is a provider of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
from pulumi import dynamic

from watchkeeper_infra.onedeploy import release


class ReleaseProvider(dynamic.ResourceProvider):
    """Deploys when it is made and when the digest is another one; what was deployed goes away with the app."""

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        _release(props)
        return dynamic.CreateResult(id_=props["app"], outs=props)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.DiffResult:
        replaced = [name for name in ("app", "container") if olds.get(name) != news.get(name)]
        changed = bool(replaced) or olds.get("digest") != news.get("digest")
        return dynamic.DiffResult(changes=changed, replaces=replaced, delete_before_replace=True)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        _release(news)
        return dynamic.UpdateResult(outs=news)


class Released(dynamic.Resource):
    """The package with `digest` runs in `app`; `path` is the file of the `newest` one."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions, **props: pulumi.Input[str]) -> None:
        super().__init__(ReleaseProvider(), name, props, opts)


def _release(props: dict[str, Any]) -> None:
    """An earlier package is in the container; the newest may have to be put there."""
    package = Path(props["path"]) if props["digest"] == props["newest"] else None
    release(props["app"], props["container"], props["digest"], package)
