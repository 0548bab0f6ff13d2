"""Enrolment groups of a device provisioning service: whose certificate comes from a known authority is let in."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from watchkeeper_infra.credentials import ask, token_for

if TYPE_CHECKING:
    from collections.abc import Callable

PROVISIONING = "https://azure-devices-provisioning.net"
VERSION = "2021-10-01"
GONE = 404


def enrol(service: str, group: str, authority: str, token: Callable[[str], str] = token_for) -> None:
    """Let in whoever has a certificate of an authority (PEM); `service` is the address of the provisioning service.

    A group that is there is replaced. RuntimeError: what the service says.
    """
    body = {
        "enrollmentGroupId": group,
        "attestation": {"type": "x509", "x509": {"signingCertificates": {"primary": {"certificate": authority}}}},
        "provisioningStatus": "enabled",
        "allocationPolicy": "hashed",
        "reprovisionPolicy": {"updateHubAssignment": True, "migrateDeviceData": True},
    }
    headers = {"Content-Type": "application/json", "If-Match": "*"}
    there = ask("GET", _address(service, group), partial(token, PROVISIONING), taken=(200, GONE))
    if there.status == GONE:
        del headers["If-Match"]
    ask("PUT", _address(service, group), partial(token, PROVISIONING), json.dumps(body).encode(), headers)


def dismiss(service: str, group: str, token: Callable[[str], str] = token_for) -> None:
    """Let nobody in by a group any more; devices that are in keep their place. RuntimeError: what the service says."""
    ask("DELETE", _address(service, group), partial(token, PROVISIONING), taken=(200, 204, GONE))


def _address(service: str, group: str) -> str:
    return f"{service}/enrollmentGroups/{group}?api-version={VERSION}"
