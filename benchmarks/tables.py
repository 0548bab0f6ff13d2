"""The tables of docs/performance.md, from benchmarks/results: no figure on that page is typed by hand."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

RESULTS = Path(__file__).with_name("results")
STAGES = ("ingest", "clean", "rule_check", "ml_score", "store")
FORMS = {"json": "JSON", "ndjson": "NDJSON", "msgpack": "MessagePack", "mqtt": "MQTT, one reading a message"}


def machine() -> str:
    """On what, and when."""
    rows = [["part", "measured on", "machine"]]
    for part in ("stages", "http", "mqtt", "queries", "peers"):
        content = _load(part)
        rows.append([part, content["at"], content["machine"]])
    return _table(rows)


def goals() -> str:
    """What was asked for, and what came out."""
    (http,) = (each for each in _found("http") if each["form"] == "json")
    queries = {(row["question"], row["where"]): row for row in _found("queries")}
    day = max(row["median_ms"] for (question, _), row in queries.items() if question.startswith("a day"))
    month = max(row["median_ms"] for (question, _), row in queries.items() if " days, " in question)
    peers = _found("peers")
    best = max(peers[1:], key=lambda row: row["per_core_s"])
    p95 = http["latency_ms"]["p95"]
    rows = [
        ["what", "at least", "goal", "measured"],
        ["stored, readings/s, for a minute", "15,000", "60,000", f"{http['stored_per_s']:,.0f}"],
        ["accepted to stored, p95", "1,000 ms", "", "–" if p95 is None else f"{p95:,.0f} ms"],
        ["memory of all processes (PSS)", "600 MB", "", f"{http['pss_mb']:,.0f} MB"],
        ["lag", "steady", "", "steady" if http["steady"] else "grows"],
        ["a day of one device at 1 Hz", "100 ms", "", f"{day:,.0f} ms"],
        ["30 days of it, downsampled", "200 ms", "", f"{month:,.0f} ms"],
        ["a core beside the best peer", "", "10 ×", f"{best['ratio']:.2f} × {best['name']}"],
    ]
    return _table(rows)


def stages() -> str:
    """Microseconds a reading by stage."""
    rows = [["devices", "days stored", *(f"`{stage}`" for stage in STAGES), "all", "readings/s"]]
    for row in _found("stages"):
        costs = row["costs"]
        shown = [f"{costs[stage]:.1f}" for stage in (*STAGES, "all")]
        rows.append([f"{row['devices']:,}", f"{row['days']:,}", *shown, f"{1e6 / costs['all']:,.0f}"])
    return _table(rows)


def sustained() -> str:
    """What whole runs came to, form by form."""
    found = [*_found("http"), *_found("mqtt")]
    rows = [
        ["", *(FORMS[each["form"]] for each in found)],
        ["seconds", *(f"{each['seconds']:.0f}" for each in found)],
        ["accepted, readings/s", *(f"{each['accepted_per_s']:,.0f}" for each in found)],
        ["stored, readings/s", *(f"{each['stored_per_s']:,.0f}" for each in found)],
        ["accepted to stored, p50 / p95 / p99, ms", *(_latency(each) for each in found)],
        ["under way, median / most", *(_waiting(each["in_flight"]) for each in found)],
        ["lag is steady", *("yes" if each["steady"] else "no" for each in found)],
        ["memory, PSS / RSS, MB", *(f"{each['pss_mb']:,.0f} / {each['rss_mb']:,.0f}" for each in found)],
        [
            "sent twice / deduplicated",
            *(f"{each['repeated']:,} / {each['counts']['deduplicated']:,}" for each in found),
        ],
        ["bytes a reading, sent", *(f"{each['bytes_a_reading']:.0f}" for each in found)],
    ]
    rows += [_cpu(name, found) for name in ("api and bridge", "worker 0", "broker", "retrain", "load generator")]
    return _table(rows)


def profile() -> str:
    """Where the time of the busy processes goes."""
    (http,) = (each for each in _found("http") if each["form"] == "json")
    runs = [
        (title, process, run["profile"].get(process, {}))
        for title, run in (("HTTP", http), ("MQTT", _found("mqtt")[0]))
        for process in ("api and bridge", "worker 0")
    ]
    parts = list(dict.fromkeys(part for _, _, shares in runs for part in shares))
    rows = [["part", *(f"{title}: {process}" for title, process, _ in runs)]]
    rows += [[part, *(f"{shares[part]:.0%}" if part in shares else "" for _, _, shares in runs)] for part in parts]
    return _table(rows)


def queries() -> str:
    """How long questions take."""
    rows = [["question", "", "points", "first, ms", "median, ms", "worst, ms"]]
    for row in _found("queries"):
        times = [f"{row[name]:.0f}" for name in ("first_ms", "median_ms", "worst_ms")]
        rows.append([row["question"], row["where"], f"{row['points']:,}", *times])
    return _table(rows)


def peers() -> str:
    """The same job, side by side."""
    rows = [["", "readings/s a core", "readings/s", "Watchkeeper's readings/s a core are", "anomalies"]]
    for row in _found("peers"):
        speed = [f"{row['per_core_s']:,.0f}", f"{row['per_s']:,.0f}", f"{row['ratio']:.2f} ×"]
        rows.append([row["name"], *speed, f"{row['anomalies']:,}"])
    return _table(rows)


PARTS: dict[str, Callable[[], str]] = {
    "speed: the machine": machine,
    "speed: the goals": goals,
    "speed: the stages": stages,
    "speed: sustained": sustained,
    "speed: the profile": profile,
    "speed: the queries": queries,
    "speed: the peers": peers,
}
"""By name: the parts of the page that are made from results."""


def _load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = msgspec.json.decode((RESULTS / f"{name}.json").read_bytes())
    return content


def _found(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _load(name)["found"]
    return found


def _cpu(name: str, found: Sequence[dict[str, Any]]) -> list[str]:
    return [f"CPU, {name}", *(f"{each['cpu'].get(name, 0):.2f}" for each in found)]


def _latency(run: dict[str, Any]) -> str:
    return " / ".join(_ms(run["latency_ms"][name]) for name in ("p50", "p95", "p99"))


def _waiting(counts: Sequence[int]) -> str:
    return f"{statistics.median(counts):,.0f} / {max(counts):,}"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
