"""What a budget's cutoff stops on AWS: the event source mappings of stages whose messages may wait in Kafka.

The core says which stages must not run now; here their mappings are disabled, and enabled again. Offsets stay in Kafka.
What is to be restored is written, and read back, before anything is changed. Nothing else can be stopped: a function of
requests is how people see and end a cutoff, and what is stored is never touched.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from watchkeeper.cost.budget import stages_that_wait
from watchkeeper.errors import Unavailable
from watchkeeper.outcome import ABSENT
from watchkeeper.ports import Key
from watchkeeper.published import current_cutoff
from watchkeeper.topology import CUTOFFS
from watchkeeper_aws.services import waiting_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from watchkeeper.cost.budget import Budget
    from watchkeeper.ports import Tables
    from watchkeeper_aws.container import Container

log = logging.getLogger(__name__)
RESTORE = Key("restore", "-")  # in the table of cutoffs
RESTORED = {"Disabled", "Disabling"}  # states of a mapping, as are:
IDLE = {*RESTORED, "Deleting"}


class Restore(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is to be enabled again: mappings by UUID. `stopping`: perhaps not disabled yet; a crash may come between.

    `lifted`: the cutoff, by its `since`, that somebody has ended by hand; it stops nothing more.
    """

    mappings: dict[str, Literal["stopping", "stopped"]] = {}
    lifted: int = 0


class MappingCutoff:
    """Disables and enables the mappings of `functions` (by stage: name, with the alias that is called)."""

    def __init__(self, client: Any, tables: Tables, functions: Mapping[str, str]) -> None:  # noqa: ANN401 - boto3
        """Nothing is asked yet."""
        self._lambda, self._tables, self._functions = client, tables, functions

    def follow(self, budget: Budget, now: int) -> None:
        """Bring the mappings to where the cutoff in force wants them. Unavailable: not all are; come again."""
        cutoff = current_cutoff(self._tables)
        restore, version = self._read()
        stages = stages_that_wait(cutoff, budget, now)
        if stages and restore.lifted != cutoff.since:
            self._stop(stages, restore, version)
        else:
            self._enable(restore, version, restore.lifted)

    def restore(self) -> list[str]:
        """End the waiting by hand, for as long as this cutoff lasts; answers the mappings that are enabled again."""
        restore, version = self._read()
        return self._enable(restore, version, current_cutoff(self._tables).since)

    def _stop(self, stages: Iterable[str], restore: Restore, version: str | None) -> None:
        """Those that run and are not remembered; one that somebody has enabled since is that person's."""
        running = [uuid for uuid, state in self._states(stages).items() if state not in IDLE]
        new = [uuid for uuid in running if uuid not in restore.mappings]
        if new:
            noted = restore.mappings | dict.fromkeys(new, "stopping")
            restore, version = self._write(Restore(noted, restore.lifted), version)
        halfway = [uuid for uuid, how in restore.mappings.items() if how == "stopping"]
        for uuid in halfway:
            if uuid in running:
                self._switch(uuid, on=False)
                log.warning("the budget is spent: the mapping %s is disabled", uuid)
        if halfway:
            self._write(Restore(dict.fromkeys(restore.mappings, "stopped"), restore.lifted), version)

    def _enable(self, restore: Restore, version: str | None, lifted: int) -> list[str]:
        """All that is remembered; it is forgotten only afterwards."""
        states = self._states(self._functions) if restore.mappings else {}
        back = [uuid for uuid in restore.mappings if states.get(uuid) in RESTORED]
        for uuid in back:
            self._switch(uuid, on=True)
            log.warning("the mapping %s is enabled again", uuid)
        if gone := sorted(restore.mappings.keys() - states.keys()):
            log.warning("the mappings %s are gone, and are not enabled again", ", ".join(gone))
        if restore != Restore({}, lifted):
            self._write(Restore({}, lifted), version)
        return back

    def _read(self) -> tuple[Restore, str | None]:
        row = self._tables.get_many(CUTOFFS.name, [RESTORE]).get(RESTORE)
        return (msgspec.json.decode(row.value, type=Restore), row.version) if row else (Restore(), ABSENT)

    def _write(self, restore: Restore, version: str | None) -> tuple[Restore, str | None]:
        """Write the record and look whether it is there. Conflict: another invocation was quicker."""
        self._tables.put(CUTOFFS.name, RESTORE, msgspec.json.encode(restore), version)
        read, version = self._read()
        if read != restore:
            raise Unavailable("the restore record does not read as it was written: nothing is changed")
        return read, version

    def _states(self, stages: Iterable[str]) -> dict[str, str]:
        """The states of the mappings of these stages, by UUID. Unavailable also: one has none, its name is wrong."""
        states = dict[str, str]()
        for function in map(self._functions.__getitem__, stages):
            with waiting_for(f"the mappings of {function}"):
                pages = self._lambda.get_paginator("list_event_source_mappings").paginate(FunctionName=function)
                found = {mapping["UUID"]: mapping["State"] for page in pages for mapping in page["EventSourceMappings"]}
            if not found:
                raise Unavailable(f"{function} has no event source mapping: see WATCHKEEPER_WAITING_FUNCTIONS")
            states |= found
        return states

    def _switch(self, uuid: str, *, on: bool) -> None:
        with waiting_for(f"the mapping {uuid}"):
            self._lambda.update_event_source_mapping(UUID=uuid, Enabled=on)


def cutoff_of(container: Container) -> MappingCutoff:
    """The cutoff of a container's stack."""
    return MappingCutoff(container.client("lambda"), container.ports.tables, container.settings.waiting_functions)
