"""Files that were put into the inbox, of which Event Grid tells.

Format: https://learn.microsoft.com/azure/event-grid/event-schema-blob-storage
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from watchkeeper.errors import Undeclared
from watchkeeper_adapters.cloud.file_trigger import File, take_file
from watchkeeper_azure.names import INBOX

if TYPE_CHECKING:
    import azure.functions as func

    from watchkeeper_azure.container import Container
    from watchkeeper_azure.observing import Observation

log = logging.getLogger(__name__)
CREATED = "Microsoft.Storage.BlobCreated"
EMPTY_YET = "CreateFile"  # a data lake makes a file before it has a content, and tells of both


def take_file_event(event: func.EventGridEvent, container: Container, observer: Observation) -> None:
    """The file becomes readings or a dead letter. Unavailable: it cannot be read or kept now; the event comes again.

    Undeclared: the event is of no file in the inbox; the subscription is a wrong one.
    """
    told = event.get_json()
    container_name, _, key = unquote(urlsplit(str(told.get("url", ""))).path).lstrip("/").partition("/")
    wanted = container.settings.blob_container
    if event.event_type != CREATED or container_name != wanted or not key.startswith(INBOX):
        message = f"{event.event_type} of {event.subject!r}: expected are new files in {wanted}/{INBOX}"
        raise Undeclared(message)
    if told.get("api") == EMPTY_YET:
        return
    file = File("blob", key, str(told.get("eTag", "")).strip('"'), int(told.get("contentLength") or 0))
    observer.counts += take_file(file, container.read_file, container)
