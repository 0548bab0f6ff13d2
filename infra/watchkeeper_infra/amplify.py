"""Puts a folder's files onto a branch of Amplify.

Amplify wants a deployment begun, a zip put to the address that it answers, the deployment started, and its job waited
for.
"""

from __future__ import annotations

import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from watchkeeper_infra.archive import Part, write_archive

PATIENCE_S, LOOK_S = 300.0, 2.0
ENDED = ("SUCCEED", "FAILED", "CANCELLED")


def deploy(client: Any, app: str, branch: str, folder: Path) -> str:  # noqa: ANN401 - boto3 has no types
    """Put a folder's files onto a branch; answers the job's number. RuntimeError: Amplify says that it failed."""
    with tempfile.TemporaryDirectory() as place:
        archive = Path(place) / "content.zip"
        write_archive(archive, [Part(folder)])
        content = archive.read_bytes()
    begun = client.create_deployment(appId=app, branchName=branch)
    request = urllib.request.Request(begun["zipUploadUrl"], content, method="PUT")  # noqa: S310 - Amplify's own
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
