"""The demo's live display: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from watchkeeper_local.status import fetch

LINE_EVERY_S = 10.0


class Progress:
    """Shows the counters of a running Watchkeeper, second by second."""

    def __init__(self, url: str, seconds: int) -> None:
        """For a live part of so many seconds."""
        self._url, self._seconds = url, seconds
        self._console = Console()
        self._live = Live(console=self._console, refresh_per_second=4) if self._console.is_terminal else None
        self._began = self._said = time.monotonic()

    def __enter__(self) -> Self:
        """Begin."""
        self._began = self._said = time.monotonic()
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *raised: object) -> None:
        """End; the last state stays on the screen."""
        if self._live:
            self._live.stop()

    def show(self) -> None:
        """Ask and show."""
        passed = time.monotonic() - self._began
        if self._live is None and time.monotonic() - self._said < LINE_EVERY_S:
            return
        self._said = time.monotonic()
        status = fetch(self._url, "/api/status")
        readings = status["readings"]
        figures = {
            "seconds": f"{min(passed, self._seconds):.0f}/{self._seconds}",
            "accepted": readings["accepted"],
            "stored": readings["stored"],
            "anomalies": status["anomalies"],
            "dead": readings["dead"],
            "deduplicated": readings["deduplicated"],
        }
        if self._live is None:
            self._console.print("  ".join(f"{name} {value}" for name, value in figures.items()))
            return
        table = Table(*figures, box=None)
        table.add_row(*(str(value) for value in figures.values()))
        grid = Table.grid()
        grid.add_row(ProgressBar(total=self._seconds, completed=min(passed, self._seconds), width=60))
        grid.add_row(table)
        self._live.update(grid)
