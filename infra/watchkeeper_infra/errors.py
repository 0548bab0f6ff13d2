"""What is wrong with a stack's configuration, before anything is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class StackConfigError(Exception):
    """Keys with values that are not allowed; the text has a line for each: key, value, what is allowed."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))
