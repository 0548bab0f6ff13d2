"""Text patterns with `*` and `?`, matched without backtracking over more than the last `*`."""

from __future__ import annotations


def fits(text: str, pattern: str) -> bool:
    """Does the whole text fit? `*` is any text, `?` any one character; takes at most len(text) × len(pattern) steps."""
    t = p = 0
    star, resume = -1, 0  # the last `*`, and what of the text it has not swallowed
    while t < len(text):
        if p < len(pattern) and pattern[p] == "*":
            star, resume, p = p, t, p + 1
        elif p < len(pattern) and pattern[p] in {"?", text[t]}:
            t, p = t + 1, p + 1
        elif star >= 0:
            resume += 1
            t, p = resume, star + 1
        else:
            return False
    return not pattern[p:].strip("*")
