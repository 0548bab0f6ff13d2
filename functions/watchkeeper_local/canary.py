"""The canary: a device of Watchkeeper's own, whose readings carry its own figures and come in by the front door."""

from __future__ import annotations

import shutil
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx

from watchkeeper.ports import Key
from watchkeeper.records import Spend
from watchkeeper.series.latency import NAMES, percentile
from watchkeeper.topology import SPEND
from watchkeeper.watching import CANARY, Figures, canary_values
from watchkeeper_adapters.tls import authorities
from watchkeeper_api.rows import one
from watchkeeper_local.node import clock

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping

    from watchkeeper_local.settings import Settings
    from watchkeeper_local.sqlite import SqlitePorts

PATIENCE_S = 4.0
WINDOW_MS = 60_000


class Canary:
    """Sends a reading each time it is asked to; `accepted` counts those that were answered with 202."""

    def __init__(
        self, settings: Settings, ports: SqlitePorts, workers: Callable[[], int], refusals: Counter[str], key: str
    ) -> None:
        """`key` is an API key made for it, empty where nobody is asked for one."""
        self._folder, self._ports, self._workers, self._refusals = settings.data_dir, ports, workers, refusals
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - it is compared with
        self._url = f"http://{f'[{host}]' if ':' in host else host}:{settings.http_port}/ingest/realtime"
        self._headers = {"X-API-Key": key} if key else {}
        self._past: deque[Figures] = deque()
        self._stored_since = (-1.0, 0)
        self.accepted = 0

    def send(self, at: int, behind: Mapping[str, tuple[int, float]]) -> str:
        """Measure and send; answers why it was not accepted, empty if it was. `at` is a monotonic clock, in ms."""
        figures = self._figures(at, behind)
        self._past.append(figures)
        while figures.at - self._past[0].at > WINDOW_MS:
            self._past.popleft()
        values = canary_values(figures, self._past[0])
        reading = {"device": CANARY, "ts": clock(), "values": values}
        try:
            answer = httpx.post(
                self._url,
                json=reading,
                headers=self._headers,
                timeout=PATIENCE_S,
                trust_env=False,
                verify=authorities(),
            )
        except httpx.HTTPError as error:
            return f"the API does not answer: {type(error).__name__}"
        if answer.status_code != httpx.codes.ACCEPTED:
            return f"the API answers {answer.status_code}"
        self.accepted += 1
        return ""

    def _figures(self, at: int, behind: Mapping[str, tuple[int, float]]) -> Figures:
        today = datetime.fromtimestamp(clock() / 1000, UTC).date()
        totals = self._ports.meter.total((today - timedelta(days=1)).isoformat(), today.isoformat())
        counts = {name: sum(of.get(name, 0.0) for of in totals.values()) for name in ("dead", "stored")}
        counts["throttled"] = float(self._refusals["throttled"])
        latencies = {name: totals.get("store", {}).get(name, 0.0) for name in NAMES}
        if counts["stored"] != self._stored_since[0]:
            self._stored_since = (counts["stored"], at)
        gauges = {
            "workers": float(self._workers()),
            "disk_free_gb": round(shutil.disk_usage(self._folder).free / 1e9, 3),
            "stored_age_seconds": (at - self._stored_since[1]) / 1000,
        }
        before = self._past[0].counts if self._past else {}
        lately = {name: count - before.get(name, count) for name, count in latencies.items()}
        p95 = percentile(lately, 0.95) if lately[NAMES[-1]] > 0 else None
        spend = one(self._ports.tables, SPEND, Key(f"{today:%Y-%m}", "-"), Spend)
        gauges |= {} if p95 is None else {"latency_p95_ms": round(p95, 1)}
        gauges |= {"budget_share": round(spend.spent / spend.budget, 4)} if spend and spend.budget else {}
        return Figures(at, behind, counts | latencies, gauges)
