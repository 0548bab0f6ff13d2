"""Uploads a folder to an Amplify branch: there is no resource for it, so this is a provider of our own.

Amplify wants a deployment begun, a zip put to the address that it answers, the deployment started, and its job waited
for. Pulumi runs this anew when the digest of the content has changed.
"""

from __future__ import annotations

import io
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pulumi
from pulumi import dynamic

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say
PATIENCE_S, LOOK_S = 300, 2
ENDED = ("SUCCEED", "FAILED", "CANCELLED")


def deploy(client: Any, app: str, branch: str, folder: Path) -> str:  # noqa: ANN401 - boto3 has no types
    """Put a folder's files onto a branch; answers the job's number. RuntimeError: Amplify says that it failed."""
    begun = client.create_deployment(appId=app, branchName=branch)
    request = urllib.request.Request(begun["zipUploadUrl"], zipped(folder), method="PUT")  # noqa: S310 - Amplify's own
    request.add_header("Content-Type", "application/zip")
    with urllib.request.urlopen(request, timeout=PATIENCE_S):  # noqa: S310 - as above
        pass
    job = str(begun["jobId"])
    client.start_deployment(appId=app, branchName=branch, jobId=job)
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        status = client.get_job(appId=app, branchName=branch, jobId=job)["job"]["summary"]["status"]
        if status == ENDED[0]:
            return job
        if status in ENDED:
            message = f"Amplify says {status} of job {job} of branch {branch} of {app}; its log is in the console"
            raise RuntimeError(message)
        time.sleep(LOOK_S)
    message = f"Amplify has not ended job {job} of branch {branch} of {app} in {PATIENCE_S} s"
    raise RuntimeError(message)


def zipped(folder: Path) -> bytes:
    """A folder's files as a zip: the same bytes for the same files."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            info = zipfile.ZipInfo(file.relative_to(folder).as_posix(), EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, file.read_bytes())
    return held.getvalue()


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
