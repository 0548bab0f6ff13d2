"""Puts a folder's files onto a Static Web App, by its own command line: no other way is documented."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = "swa"
PATIENCE_S = 600.0


def upload(folder: Path, token: str) -> None:
    """Put a folder's files where people look. The deployment token goes by the environment, where no list shows it.

    RuntimeError: the command is not there, or what it says.
    """
    command = shutil.which(COMMAND)
    if command is None:
        message = f"{COMMAND} is not there: npm install --global @azure/static-web-apps-cli"
        raise RuntimeError(message)
    done = subprocess.run(  # noqa: S603 - the command was looked up above
        [command, "deploy", str(folder), "--env", "production", "--swa-config-location", str(folder)],
        env={**os.environ, "SWA_CLI_DEPLOYMENT_TOKEN": token},
        text=True,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if done.returncode:
        said = (done.stdout + done.stderr).replace(token, "…").strip()[-1500:]
        message = f"{COMMAND} deploy: {said}"
        raise RuntimeError(message)
