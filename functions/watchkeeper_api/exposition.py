"""The text format that Prometheus reads, version 0.0.4.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Exposition:
    """Families of samples, written in the order they are added."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def family(
        self,
        name: str,
        kind: Literal["counter", "gauge"],
        about: str,
        samples: Sequence[tuple[Mapping[str, str], float]],
    ) -> None:
        """A family: its samples as labels and value. One without samples is left out."""
        if samples:
            self._head(name, kind, about)
            self._lines += [_sample(name, labels, value) for labels, value in samples]

    def histogram(self, name: str, about: str, buckets: Sequence[tuple[float, float]]) -> None:
        """A histogram: per upper bound how many were at or below it, ascending, the last one infinite.

        Quantiles and shares need no `_sum`; where nobody has added one up, none is made up.
        """
        self._head(name, "histogram", about)
        self._lines += [_sample(f"{name}_bucket", {"le": _number(bound)}, count) for bound, count in buckets]
        self._lines.append(_sample(f"{name}_count", {}, buckets[-1][1]))

    def text(self) -> str:
        """All of it."""
        return "".join(f"{line}\n" for line in self._lines)

    def _head(self, name: str, kind: str, about: str) -> None:
        escaped = about.replace("\\", r"\\").replace("\n", r"\n")
        self._lines += [f"# HELP {name} {escaped}", f"# TYPE {name} {kind}"]


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{inner}}} {_number(value)}" if inner else f"{name} {_number(value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))
