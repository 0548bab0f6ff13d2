"""The deterministic report, from the anomaly and the runbooks: what, how sure, likely causes, steps and sources."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from watchkeeper.records import Anomaly, Episode, MetricView, Report, Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper.knowledge.runbooks import Library, Passage, Runbook

UNKNOWN = "unknown-anomaly.md"
DETERMINISTIC = "rules"  # who writes a report until a language model has
SIGNALS_COUNT = 2  # which metrics moved says more than the words for it
RANK_OFFSET = 5  # the source's 60 is for rankings of a thousand; here a dozen compete
SEARCHED = 12  # passages asked for; several may be of one runbook
CITED = 3
QUOTE = 240


class Found(NamedTuple):
    """What the knowledge base says: the runbook that fits best, and the passages to cite, the best first."""

    runbook: Runbook | None
    passages: tuple[Passage, ...]


def look_up(anomaly: Anomaly, library: Library) -> Found:
    """The rule's own runbook if it names one, else the best by words and by signals; there is always something to cite.

    The two rankings are merged by reciprocal rank (Cormack, Clarke and Büttcher, SIGIR 2009).
    """
    known = _is_known(anomaly, library)
    hits = library.search(query_of(anomaly), device_class=anomaly.device_class, limit=SEARCHED) if known else ()
    named = library.runbook(anomaly.runbook) if anomaly.runbook else None
    by_words = list(dict.fromkeys(hit.passage.file for hit in hits))
    moved = _weights(anomaly) if _strays(anomaly) else {}
    by_signals = library.by_signals(moved, device_class=anomaly.device_class)
    merged = _merged((by_words, 1), (by_signals, SIGNALS_COUNT))
    best = named or next((library.runbook(file) for file in merged), None) or library.runbook(UNKNOWN)
    if best is None:
        return Found(None, ())
    own = [passage for passage in best.passages if passage.heading in {"Likely causes", "What to do"}]
    order = {file: rank for rank, file in enumerate(merged)}
    others = [hit.passage for hit in hits if hit.passage.file != best.file]
    return Found(best, tuple((own + sorted(others, key=lambda passage: order[passage.file]))[:CITED]))


def _is_known(anomaly: Anomaly, library: Library) -> bool:
    """Does any runbook speak of what stands out? That it is high or low would fit a runbook about anything."""
    if anomaly.detector != "model" or not _strays(anomaly):
        return True
    names = " ".join(name.replace("_", " ") for name in anomaly.metrics)
    return bool(library.search(names, device_class=anomaly.device_class, limit=1))


def _merged(*rankings: tuple[Sequence[str], float]) -> list[str]:
    scores: dict[str, float] = {}
    for ranking, weight in rankings:
        for rank, file in enumerate(ranking):
            scores[file] = scores.get(file, 0.0) + weight / (RANK_OFFSET + rank)
    return sorted(scores, key=lambda file: -scores[file])


def query_of(anomaly: Anomaly) -> str:
    """Words to search by: which metrics stand out and which way, the kind of device, and what the detector said."""
    words = [anomaly.device_class]
    for name, weight in sorted(_weights(anomaly).items(), key=lambda item: -item[1])[:3]:
        view = anomaly.metrics[name]
        way = ""
        if view.value is not None and view.high is not None and view.value > view.high:
            way = "high rising increase"
        elif view.value is not None and view.low is not None and view.value < view.low:
            way = "low falling drop"
        words.append(f"{name.replace('_', ' ')} {way if weight else ''}")
    if anomaly.detector == "model" and not _strays(anomaly):
        words.append("sensor stuck frozen flat same value repeated")
    if anomaly.detector == "gap" or anomaly.detector.startswith("silence:"):
        words.append("device silent no data connection lost")
    if anomaly.detector.startswith("rule:"):
        words.append(anomaly.summary)
    return " ".join(words)


def _weights(anomaly: Anomaly) -> dict[str, float]:
    """How much each metric stands out: its share of the surprise, times how far it is outside what was expected.

    The share says how unlikely, and levels off; the distance (in half widths of the band, as a logarithm) says how
    much.
    """
    return {name: view.contribution * math.log1p(_distance(view)) for name, view in anomaly.metrics.items()}


def _distance(view: MetricView) -> float:
    if view.value is None or view.expected is None or view.low is None or view.high is None:
        return 1.0
    return abs(view.value - view.expected) / max((view.high - view.low) / 2, 1e-12)


def _strays(anomaly: Anomaly) -> bool:
    """Is the metric that stands out most outside its band? If not, it is how it moves that is strange."""
    leading = max(anomaly.metrics.values(), key=lambda view: view.contribution, default=None)
    return leading is None or _distance(leading) > 1.0


def report_of(episode: Episode, anomaly: Anomaly, found: Found) -> Report:
    """The report of an episode, the same for the same anomaly and knowledge base."""
    runbook = found.runbook
    return Report(
        episode=episode.id,
        tenant=episode.tenant,
        device=episode.device,
        ts=anomaly.ts,
        what=_what(anomaly),
        confidence=round(anomaly.confidence, 3),
        causes=runbook.causes if runbook else (),
        steps=runbook.steps if runbook else (),
        sources=sources_of(found.passages),
        severity=anomaly.severity,
        category=str(runbook.category) if runbook else "operations",
    )


def sources_of(passages: Sequence[Passage]) -> tuple[Source, ...]:
    """Citations by file and heading, each with the beginning of what it says."""
    return tuple(Source(p.file, p.heading, " ".join(p.text.split())[:QUOTE]) for p in passages)


def _what(anomaly: Anomaly) -> str:
    text = f"{anomaly.summary} on {anomaly.device}"
    if anomaly.site:
        text += f" ({anomaly.site})"
    if anomaly.threshold:
        text += f"; the rule: {anomaly.threshold}"
    shares = sorted(anomaly.metrics.items(), key=lambda item: -item[1].contribution)
    total = sum(view.contribution for _, view in shares)
    if anomaly.detector == "model" and total > 0:
        parts = [f"{name} {view.contribution / total:.0%}" for name, view in shares[:3] if view.contribution > 0]
        text += f"; it stands out by {', '.join(parts)}"
    else:
        seen = [f"{name} was {view.value:.4g}" for name, view in shares[:3] if view.value is not None]
        text += f"; {', '.join(seen)}" if seen else ""
    return text + "."
