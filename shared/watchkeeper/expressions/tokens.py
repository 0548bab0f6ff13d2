"""The text of an expression as tokens."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

from watchkeeper.errors import ExpressionError
from watchkeeper.wording import quote

LONGEST = 2000  # characters

Sort: TypeAlias = Literal["number", "text", "name", "quoted", "sign", "end"]

_TOKEN = re.compile(
    r"""(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)
      | (?P<text>"[^"\n]*"|'[^'\n]*')
      | (?P<quoted>`[^`\n]+`)
      | (?P<sign><=|>=|==|!=|[-+*/%^<>(),.])""",
    re.VERBOSE,
)
_BLANKS = re.compile(r"\s*")
_SORTS: tuple[Sort, ...] = ("number", "text", "name", "quoted", "sign")
_HINTS = {
    "=": "write '==' to compare",
    "!": "write 'not', or '!=' to compare",
    "&": "write 'and'",
    "|": "write 'or'",
    '"': "a text without its second quotation mark",
    "'": "a text without its second quotation mark",
    "`": "a name without its second backtick",
}


class Token(NamedTuple):
    """A piece of the text; `text` is without quotes. The last one is an `end`."""

    sort: Sort
    text: str
    at: int


def tokens_of(text: str) -> list[Token]:
    """All tokens, an `end` last. ExpressionError: too long, or a character that means nothing here."""
    if len(text) > LONGEST:
        raise ExpressionError(f"longer than {LONGEST} characters", LONGEST)
    found: list[Token] = []
    at = _after_blanks(text, 0)
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            hint = f"; {_HINTS[text[at]]}" if text[at] in _HINTS else ""
            raise ExpressionError(f"unexpected {quote(text[at])}{hint}", at)
        sort = next(each for each in _SORTS if match[each] is not None)
        found.append(Token(sort, match[0][1:-1] if sort in {"text", "quoted"} else match[0], at))
        at = _after_blanks(text, match.end())
    return [*found, Token("end", "", len(text.rstrip()))]


def _after_blanks(text: str, at: int) -> int:
    blanks = _BLANKS.match(text, at)
    return blanks.end() if blanks else at
