"""Azure's built-in roles by name, and the condition that holds one to some of a container's blobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROLES = {
    "Azure Event Hubs Data Receiver": "a638d3c7-ab3a-418d-83e6-5f17a39d4fde",
    "Azure Event Hubs Data Sender": "2b629674-e913-4c01-ae53-ef4638d8f975",
    "Cognitive Services OpenAI User": "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd",
    "Device Provisioning Service Data Contributor": "dfce44e4-17b7-4bd1-a6d1-04996ec95633",
    "IoT Hub Registry Contributor": "4ea46cd5-c1b2-4a8e-910b-273211f9ce47",
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Blob Data Reader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    "Web PubSub Service Owner": "12cf5a90-567b-43ae-8102-96cf46c7d9b4",
}
"""The ids of Azure's built-in roles, the same in every subscription."""

BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
ON_BLOBS = ("read", "write", "add/action", "delete", "move/action")
"""What can be done to blobs, and all that our own role of who writes them allows; the built-in one may do more."""


def only_below(prefixes: Sequence[str]) -> str:
    """The condition that holds an assignment to blobs whose path begins with one of these; names may be listed.

    Format: Azure's attribute-based access control, version 2.0.
    """
    others = " AND ".join(
        f"!(ActionMatches{{'{BLOBS}/{action}'}}"
        + (" AND NOT SubOperationMatches{'Blob.List'})" if action == "read" else ")")
        for action in ON_BLOBS
    )
    below = " OR ".join(f"@Resource[{BLOBS}:path] StringStartsWith '{prefix}'" for prefix in prefixes)
    return f"(({others}) OR ({below}))"
