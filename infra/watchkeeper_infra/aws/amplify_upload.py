"""What is on an Amplify branch, as a resource: there is none for it, so this is a provider of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
from pulumi import dynamic

from watchkeeper_infra.amplify import deploy


class UploadProvider(dynamic.ResourceProvider):
    """Uploads when it is made and when the digest is another one; what was uploaded goes away with the branch."""

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        job = _upload(props)
        return dynamic.CreateResult(id_=f"{props['app_id']}/{props['branch']}", outs={**props, "job": job})

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.DiffResult:
        replaced = [name for name in ("app_id", "branch") if olds.get(name) != news.get(name)]
        changed = bool(replaced) or olds.get("digest") != news.get("digest")
        return dynamic.DiffResult(changes=changed, replaces=replaced, delete_before_replace=True)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        return dynamic.UpdateResult(outs={**news, "job": _upload(news)})


class Upload(dynamic.Resource):
    """What is on a branch: the folder's content with this digest."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions, **props: pulumi.Input[str]) -> None:
        super().__init__(UploadProvider(), name, {**props, "job": None}, opts)


def _upload(props: dict[str, Any]) -> str:
    import boto3

    client = boto3.client("amplify", region_name=props["region"])
    return deploy(client, props["app_id"], props["branch"], Path(props["folder"]))
