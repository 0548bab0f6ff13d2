"""`watchkeeper replay`: sends CSV files as devices."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from watchkeeper.errors import ConfigError
from watchkeeper_local.sources.csv_readings import CsvError, read_csv
from watchkeeper_local.sources.send import open_sender, pace
from watchkeeper_local.sources.sent import Sent
from watchkeeper_local.status import fetch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchkeeper_local.sources.reading import SourceReading

SHOWN = 10  # bad rows and rejections printed in full


def replay(files: Sequence[str], to: str, speed: str, api_key: str | None) -> int:
    """Send all files, one after the other. Answers 1 if a row was bad or a reading rejected, else 0."""
    missing = [file for file in files if not Path(file).is_file()]
    if missing:
        message = f"no such file: {', '.join(missing)}"
        raise ConfigError(message)
    bad: list[CsvError] = []
    total = Sent(0, 0)
    if to.startswith("http"):
        fetch(to, "/health")  # says at once if nobody is there
    with open_sender(to, api_key=api_key) as sender:
        for batch in pace(_readings(files, bad), speed):
            total += sender.send(batch)
    for error in bad[:SHOWN]:
        print(f"left out: {error}", file=sys.stderr)
    for rejection in total.rejections[:SHOWN]:
        print(f"rejected: {rejection.reason}", file=sys.stderr)
    print(f"{total.accepted} readings accepted, {total.rejected} rejected, {len(bad)} bad rows left out.")
    return 1 if bad or total.rejected else 0


def _readings(files: Sequence[str], bad: list[CsvError]) -> Iterator[SourceReading]:
    for file in files:
        for row in read_csv(Path(file)):
            if isinstance(row, CsvError):
                bad.append(row)
            else:
                yield row.reading
