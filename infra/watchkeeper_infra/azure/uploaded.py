"""What is on a Static Web App, as a resource: azure-native has none for it, so this is a provider of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
from pulumi import dynamic

from watchkeeper_infra.static_site import upload


class UploadProvider(dynamic.ResourceProvider):
    """Uploads when it is made and when the digest is another one; what was uploaded goes away with the site."""

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        upload(Path(props["folder"]), props["token"])
        return dynamic.CreateResult(id_=props["site"], outs=props)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.DiffResult:
        replaced = ["site"] if olds.get("site") != news.get("site") else []
        changed = bool(replaced) or olds.get("digest") != news.get("digest")
        return dynamic.DiffResult(changes=changed, replaces=replaced, delete_before_replace=True)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        upload(Path(news["folder"]), news["token"])
        return dynamic.UpdateResult(outs=news)


class Uploaded(dynamic.Resource):
    """The folder's content with this digest is on the site; its `token` is a secret."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions, **props: pulumi.Input[str]) -> None:
        super().__init__(UploadProvider(), name, props, opts)
