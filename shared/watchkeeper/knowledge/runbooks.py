"""Runbooks: what the team does about an anomaly, section by section, and the search over them."""

import logging
import math
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cached_property

import msgspec

from watchkeeper.knowledge.rules import EVERY_CLASS

_WORD = re.compile(r"[^\W_]+")
_ENDINGS = re.compile(r"(?<=\w{3})(?:ings?|ed|es|e|(?<!s)s)$")
_DOUBLED = re.compile(r"(\D)\1$")


class Category(StrEnum):
    """The trade that a runbook belongs to."""

    MECHANICAL = "mechanical"
    HYDRAULIC = "hydraulic"
    ELECTRICAL = "electrical"
    THERMAL = "thermal"
    NETWORK = "network"
    COMPUTE = "compute"
    INSTRUMENTATION = "instrumentation"
    OPERATIONS = "operations"


class Passage(msgspec.Struct, frozen=True):
    """One section of a runbook, as it is cited: by file and heading. `text` is Markdown."""

    file: str
    heading: str
    text: str


class Runbook(msgspec.Struct, frozen=True):
    """One runbook. `causes` are most likely first; `steps` are in the order in which they are done."""

    file: str
    title: str
    applies_to: tuple[str, ...]
    category: Category
    signals: tuple[str, ...]
    what_it_looks_like: str
    causes: tuple[str, ...]
    steps: tuple[str, ...]
    when_over: str
    passages: tuple[Passage, ...]

    def fits(self, device_class: str) -> bool:
        """Whether it is meant for devices of this class."""
        return EVERY_CLASS in self.applies_to or device_class in self.applies_to


class Hit(msgspec.Struct, frozen=True):
    """A passage found, the title of its runbook, and its BM25 score (greater is better, above 0)."""

    passage: Passage
    title: str
    score: float


class Library(msgspec.Struct, frozen=True, dict=True):
    """All runbooks, searchable by words."""

    runbooks: tuple[Runbook, ...] = ()

    def runbook(self, file: str) -> Runbook | None:
        """The runbook in `file`, named as rules name it (`pump-bearing-wear.md`)."""
        return self._by_file.get(file)

    def search(self, query: str, *, device_class: str, limit: int = 3) -> tuple[Hit, ...]:
        """The best `limit` passages for `query`, best first; equal ones in the order of their files.

        Passages of runbooks that fit `device_class` are preferred: others are given only where none of those matches.
        A query without any known word finds nothing.
        """
        scores = self._score(query)
        found = [
            (Hit(passage, runbook.title, score), runbook.fits(device_class))
            for (runbook, passage), score in zip(self._passages, scores, strict=False)
            if score > 0
        ]
        hits = [hit for hit, fits in found if fits] or [hit for hit, _ in found]
        return tuple(sorted(hits, key=lambda hit: -hit.score)[:limit])

    def by_signals(self, shares: Mapping[str, float], *, device_class: str) -> tuple[str, ...]:
        """Files of the runbooks that are about these metrics, best first; `shares`: how much each metric stands out.

        The signal that a runbook names first is what it is about; each one after it counts less. A runbook about little
        else says more.
        """
        scores: dict[str, float] = {}
        for runbook in self.runbooks:
            for place, metric in enumerate(runbook.signals):
                if metric in shares and runbook.fits(device_class):
                    weight = 1 / (1 + place) / math.sqrt(len(runbook.signals))
                    scores[runbook.file] = scores.get(runbook.file, 0.0) + shares[metric] * weight
        return tuple(sorted(scores, key=lambda file: -scores[file]))

    @cached_property
    def _by_file(self) -> dict[str, Runbook]:
        return {runbook.file: runbook for runbook in self.runbooks}

    @cached_property
    def _passages(self) -> tuple[tuple[Runbook, Passage], ...]:
        return tuple((runbook, passage) for runbook in self.runbooks for passage in runbook.passages)

    @cached_property
    def _score(self) -> Callable[[str], list[float]]:
        """A function from a query to the score of every passage; built once, on the first search."""
        # Imported here because every stage loads this package through the bundle, and only one searches.
        import bm25s
        from bm25s.stopwords import STOPWORDS_EN

        logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to DEBUG
        stop = frozenset(STOPWORDS_EN)
        corpus = [_words(_indexed(runbook, passage), stop) for runbook, passage in self._passages]
        vocabulary = {word for words in corpus for word in words}
        if not vocabulary:
            return lambda _: []
        index = bm25s.BM25()
        index.index(corpus, show_progress=False)

        def score(query: str) -> list[float]:
            known = [word for word in _words(query, stop) if word in vocabulary]
            scores: list[float] = index.get_scores(known).tolist() if known else []
            return scores

        return score


def _indexed(runbook: Runbook, passage: Passage) -> str:
    """The words by which a passage is found: its own and its runbook's title, twice, for that says it best."""
    return "\n".join((runbook.title, runbook.title, *runbook.signals, passage.text))


def _words(text: str, stop: frozenset[str]) -> list[str]:
    """Words without case, underscores, stop words and the commonest English endings (`swapping` is `swap`)."""
    return [_DOUBLED.sub(r"\1", _ENDINGS.sub("", word)) for word in _WORD.findall(text.lower()) if word not in stop]
