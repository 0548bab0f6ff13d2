"""What failures of Azure's services are to the pipeline."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from azure.core.exceptions import AzureError, HttpResponseError

from watchkeeper.errors import Refused, Unavailable
from watchkeeper_adapters.plain import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator

# What no later try can mend: the request itself is wrong, or too large. All else is waited for, missing permissions
# included, which a person mends: a reading must not be given up for them.
HOPELESS = frozenset({400, 413, 414, 431})
SHOWN = 300  # signs of what a service says; it may add a trace of many lines


@contextlib.contextmanager
def waiting_for(what: str) -> Iterator[None]:
    """What Azure refuses inside becomes one of our errors: Unavailable, or Refused where trying again is of no use."""
    try:
        yield
    except HttpResponseError as error:
        status = f"{error.status_code}: " if error.status_code else ""  # none where nobody has answered
        text = f"{what}: {status}{_said(error)}"
        if error.status_code in HOPELESS:
            raise Refused(text) from error
        raise Unavailable(text) from error
    except AzureError as error:
        raise Unavailable(f"{what}: {_said(error)}") from error


def _said(error: AzureError) -> str:
    return excerpt(str(error.message), SHOWN)
