"""One small language for the conditions of rules and the formulas of derived metrics, compiled once into NumPy.

An expression looks at one reading: its metrics, which are numbers, and its tags, which are texts. What is missing is
NaN; logic has three values (`Truth`), so a comparison with something missing is neither true nor false. There is no
`eval`: text becomes tokens (`tokens`), a tree (`tree`, `parsing`), and closures over columns (`compiling`).
docs/rules.md has the grammar.
"""

from watchkeeper.expressions.expression import Expression, all_of, any_of, compile_expression, negation
from watchkeeper.expressions.values import Columns, Kind, Truth, Words

__all__ = [
    "Columns",
    "Expression",
    "Kind",
    "Truth",
    "Words",
    "all_of",
    "any_of",
    "compile_expression",
    "negation",
]
