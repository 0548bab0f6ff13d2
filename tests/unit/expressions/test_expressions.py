"""Expressions: what they mean, held against the plain reading of them, and what is said of mistakes."""

import math
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.expressions.plain import plainly
from watchkeeper.errors import ExpressionError
from watchkeeper.expressions import Columns, Truth, Words, all_of, any_of, compile_expression, negation
from watchkeeper.expressions.functions import FUNCTIONS
from watchkeeper.expressions.patterns import fits
from watchkeeper.expressions.tokens import LONGEST

NAN = math.nan


def columns(tags=None, **metrics):
    length = max((len(column) for column in metrics.values()), default=len(tags["line"][0]) if tags else 1)
    words = {name: Words(np.array(codes), found) for name, (codes, found) in (tags or {}).items()}
    return Columns(length, {name: np.array(column, float) for name, column in metrics.items()}, words)


def value(text, tags=None, **metrics):
    """What an expression comes to for one reading; None: missing or unknown."""
    words = {name: ([0], (word,)) for name, word in (tags or {}).items()}
    found = compile_expression(text).evaluate(columns(words, **{name: [each] for name, each in metrics.items()}))
    if isinstance(found, Truth):
        assert not (found.yes & found.no).any()
        return True if found.yes[0] else False if found.no[0] else None
    return None if np.isnan(found[0]) else float(found[0])


MEANINGS = {
    "2 + 3 * 4": 14,
    "(2 + 3) * 4": 20,
    "10 - 4 - 3": 3,
    "2 ^ 3 ^ 2": 512,
    "-2 ^ 2": -4,
    "2 ^ -1": 0.5,
    "-3 % 5": 2,
    "7 / 2 / 2": 1.75,
    "1.5e3 + .5": 1500.5,
    "a / b": 2,
    "min(a, b, 1) + max(a, b) - abs(-1)": 6,
    "clip(a, 0, 4) + round(2.5) + floor(1.9) + ceil(1.1)": 9,
    "sqrt(9) + log10(100) + exp(0) + log(1)": 6,
    "if(a > b, 1, 2)": 1,
    "default(c, 7) + default(a, 9)": 13,
    "a > b and b > 2": True,
    "a > b or c > 2": True,
    "not a > b": False,
    "not (a > b) or b == 3": True,
    "1 < b < a": True,
    "1 < b < 2": False,
    "b in (3, -3)": True,
    "b not in (3, 4)": False,
    "missing(c)": True,
    "missing(a) or missing(tag.none)": True,
    "tag.line == 'A7'": True,
    "tag.line != 'A7'": False,
    'tag.line like "A*"': True,
    "tag.line not like 'A?'": False,
    "tag.line in ('A7', 'B')": True,
    "tag.`odd name` == tag.line": False,
    "number(tag.batch) + 1": 13,
    "`strange-name` + a.b": 8,
}


@pytest.mark.parametrize(("text", "means"), MEANINGS.items())
def test_an_expression_means_what_it_says(text, means):
    tags = {"line": "A7", "odd name": "x", "batch": "12"}
    assert value(text, tags, **{"a": 6, "b": 3, "strange-name": 3.0, "a.b": 5}) == means


UNKNOWN = [
    "c > 1", "not c > 1", "c == c", "c != 1", "c in (1, 2)", "c not in (1, 2)", "1 < c < 3", "a > 1 and c > 1",
    "a < 1 or c > 1", "a / 0 > 1", "sqrt(-a) > 0", "log(0) < 1", "tag.none == 'x'", "tag.none != 'x'",
    "tag.none not like '*'", "number(tag.line) > 0", "if(c > 1, 1, 2) > 0", "min(a, c) < 99", "10 ^ 999 > 1",
    "number('nan') > 0", "number('inf') > 0", "0 / 0 == 0 / 0",
]  # fmt: skip


@pytest.mark.parametrize("text", UNKNOWN)
def test_what_depends_on_something_missing_is_neither_true_nor_false_nor_is_its_opposite(text):
    assert value(text, {"line": "A7"}, a=6) is None


def test_what_is_decided_all_the_same_is_known():
    assert value("a < 1 and c > 1", a=6) is False
    assert value("a > 1 or c > 1", a=6) is True
    assert value("a > 9 > c", a=6) is False


def test_infinite_values_are_missing():
    assert value("a > 0", a=math.inf) is None
    assert value("missing(a)", a=-math.inf) is True


def test_an_expression_knows_what_it_looks_at():
    expression = compile_expression("flow * head / power > `flow` and tag.line like 'A*' and tag.`b c` == tag.line")
    assert (expression.metrics, expression.tags) == (("flow", "head", "power"), ("line", "b c"))
    assert (expression.kind, expression.constant) == ("boolean", False)
    assert compile_expression("1 < 2").constant
    assert [compile_expression(text).kind for text in ("a", "tag.a", "'a'", "min(1, 2)")] == [
        "number", "text", "text", "number",
    ]  # fmt: skip


def test_conditions_can_be_joined():
    one, two = compile_expression("a > 1"), compile_expression("b > 1 or c > 1")
    data = columns(a=[2, 2, 0, NAN], b=[2, 0, 2, 0], c=[0, 0, 0, 0])
    assert all_of([one, two]).truth(data).yes.tolist() == [True, False, False, False]
    assert any_of([one, two]).truth(data).no.tolist() == [False, False, False, False]
    assert negation(two).truth(data).yes.tolist() == [False, True, False, True]
    assert all_of([one]) is one
    joined = all_of([one, negation(two)])
    assert joined == compile_expression(joined.text)
    assert joined.metrics == ("a", "b", "c")


def test_constants_have_an_entry_for_each_reading_too():
    data = columns(a=[1, 2, 3])
    assert compile_expression("1 + 1").numbers(data).tolist() == [2, 2, 2]
    assert compile_expression("1 < 2").truth(data).yes.tolist() == [True] * 3
    assert compile_expression("'x'").evaluate(data).codes.tolist() == [0] * 3
    assert compile_expression("nowhere").numbers(data).shape == (3,)


def test_one_kind_is_not_taken_for_another():
    with pytest.raises(TypeError, match="comes to a boolean"):
        compile_expression("a > 1").numbers(columns(a=[1]))
    with pytest.raises(TypeError, match="comes to a number"):
        compile_expression("a").truth(columns(a=[1]))


MISTAKES = {
    "": (0, "a value expected, not the end"),
    "a >": (3, "a value expected, not the end"),
    "a > 1 b": (6, "unexpected 'b'"),
    "a = 1": (2, "unexpected '='; write '==' to compare"),
    "a > 1 & b > 2": (6, "unexpected '&'; write 'and'"),
    "'a": (0, 'unexpected "\'"; a text without its second quotation mark'),
    "(a > 1": (6, "')' to close the bracket expected, not the end"),
    "max(a b)": (6, "',' or ')' expected, not 'b'"),
    "presure > 1": (0, "unknown metric 'presure' (did you mean 'pressure'?)"),
    "a and b > 1": (0, "a condition is needed here, not a number"),
    "a + (b > 1)": (5, "a number is needed here, not a condition"),
    "tag.line > 'a'": (9, "texts have no order: '>' compares numbers"),
    "tag.line == 1": (12, "a text is needed here, not a number; a text stands in quotation marks"),
    "a == tag.line": (5, "a number is needed here, not a text; number(tag.line) makes one of it"),
    "a in ('x')": (6, "a number is needed here, not a text"),
    "tag.line in (1)": (13, "a text is needed here, not a number; a text stands in quotation marks"),
    "a in (b)": (6, "a number or a text expected, not 'b'"),
    "a in 5": (5, "'(' and a list of values after 'in' expected, not '5'"),
    "a not 5": (6, "'in' or 'like' expected after 'not', not '5'"),
    "a like 'x'": (0, "a text is needed here, not a number"),
    "tag.line like a": (14, "a pattern in quotation marks expected after 'like', not 'a'"),
    "sqr(a)": (0, "unknown function 'sqr' (did you mean 'sqrt'?)"),
    "clip(a, 1)": (0, "clip takes 3 arguments, not 2"),
    "min(a)": (0, "min takes at least 2 arguments, not 1"),
    "abs(a > 1)": (4, "a number is needed here, not a condition"),
    "missing(a > 1)": (8, "a number is needed here, not a condition"),
    "1e999 > a": (0, "a number that is too large"),
    "tag.5": (3, "'.' and the name of a tag expected, not '.5'"),
    "tag > 1": (4, "'.' and the name of a tag expected, not '>'"),
    "a ? b": (2, "unexpected '?'"),
}


@pytest.mark.parametrize(("text", "mistake"), MISTAKES.items())
def test_a_mistake_is_told_with_its_place(text, mistake):
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, ("a", "b", "pressure"))
    assert (caught.value.offset, caught.value.text) == mistake
    assert str(caught.value) == f"{mistake[1]} (at character {mistake[0] + 1} of the expression)"


def test_an_expression_can_be_asked_to_come_to_something():
    with pytest.raises(ExpressionError, match="this must be a condition, such as flow > 10, and is a number"):
        compile_expression("a + 1", kind="boolean")
    with pytest.raises(ExpressionError, match="this must be a number, such as"):
        compile_expression("a > 1", kind="number")
    assert compile_expression("a > 1", kind="boolean").kind == "boolean"


DEEP = [
    "(" * 200 + "1" + ")" * 200, "-" * 500 + "1", "not " * 400 + "a > 1", "+".join(["1"] * 900), "2^" * 500 + "2",
    "abs(" * 300, "1 < " * 2000,
]  # fmt: skip


@pytest.mark.parametrize("text", DEEP)
def test_what_is_too_deep_or_too_long_is_refused(text):
    with pytest.raises(ExpressionError, match=r"nested too deeply|longer than"):
        compile_expression(text)


def test_long_chains_of_and_and_or_are_not_deep():
    text = " or ".join(f"a == {n}" for n in range(150))
    assert len(text) < LONGEST
    assert value(text, a=149) is True


def test_patterns_take_no_longer_than_their_length_times_the_texts():
    started = time.perf_counter()
    assert not fits("a" * 400, "*a" * 200 + "*b")
    assert time.perf_counter() - started < 1


@given(st.text("ab*?[", max_size=8), st.text("ab[", max_size=8))
def test_a_pattern_fits_what_its_plain_reading_fits(pattern, text):
    def plain(pattern, text):
        if not pattern:
            return not text
        if pattern[0] == "*":
            return any(plain(pattern[1:], text[n:]) for n in range(len(text) + 1))
        return bool(text) and pattern[0] in {"?", text[0]} and plain(pattern[1:], text[1:])

    assert fits(text, pattern) == plain(pattern, text)


# --- any expression -------------------------------------------------------------------------------------------------

METRICS, TAGS = ("a", "b", "c.d"), ("line", "shift")
PLAIN_FUNCTIONS = {"abs": 1, "ceil": 1, "floor": 1, "round": 1, "sqrt": 1, "min": 2, "max": 3, "clip": 3, "default": 2}
number_text = st.sampled_from(["0", "1", "2.5", "-3", "1e3", ".5"])
text_text = st.sampled_from(["tag.line", "tag.shift", "'A1'", '"B"', "''"])


def numbers(inner):
    calls = [st.tuples(*[inner] * takes).map(lambda args, name=name: f"{name}({', '.join(args)})")
             for name, takes in PLAIN_FUNCTIONS.items()]  # fmt: skip
    return st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "%"]), inner).map(lambda it: f"({' '.join(it)})"),
        st.tuples(inner, st.sampled_from(["2", "-1", "0.5"])).map(lambda it: f"({it[0]}) ^ {it[1]}"),
        inner.map(lambda it: f"-{it}"),
        text_text.map(lambda it: f"number({it})"),
        *calls,
    )


atoms = st.one_of(number_text, st.sampled_from(METRICS))
number_texts = st.recursive(atoms, numbers, max_leaves=6)
comparisons = st.one_of(
    st.tuples(number_texts, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), number_texts).map(" ".join),
    st.tuples(number_texts, number_texts, number_texts).map(" < ".join),
    st.tuples(number_texts, st.sampled_from(["in", "not in"])).map(lambda it: f"{it[0]} {it[1]} (1, 2.5, -3)"),
    st.tuples(text_text, st.sampled_from(["==", "!="]), text_text).map(" ".join),
    st.tuples(text_text, st.sampled_from(["'A*'", "'?'", "'*1'"])).map(" like ".join),
    text_text.map(lambda it: f"{it} in ('A1', 'B')"),
    st.sampled_from(["missing(a)", "missing(tag.line)"]),
)
condition_texts = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda it: f"({' and '.join(it)})"),
        st.lists(inner, min_size=2, max_size=3).map(lambda it: f"({' or '.join(it)})"),
        inner.map(lambda it: f"not ({it})"),
        st.tuples(inner, atoms, atoms).map(lambda it: f"if({', '.join(it)}) > 1"),
    ),
    max_leaves=6,
)
plain_value = st.sampled_from([None, 0.0, 1.0, 2.5, -3.0, 1e200, -0.25])
readings = st.lists(
    st.tuples(
        st.fixed_dictionaries(dict.fromkeys(METRICS, plain_value)),
        st.fixed_dictionaries(dict.fromkeys(TAGS, st.sampled_from([None, "A1", "A12", "B", "7"]))),
    ),
    min_size=1,
    max_size=6,
)


def as_columns(rows):
    metrics = {name: np.array([NAN if row[name] is None else row[name] for row, _ in rows]) for name in METRICS}
    tags = {}
    for name in TAGS:
        words = tuple(dict.fromkeys(tags[name] for _, tags in rows if tags[name] is not None))
        codes = [words.index(tags[name]) if tags[name] is not None else -1 for _, tags in rows]
        tags[name] = Words(np.array(codes), words)
    return Columns(len(rows), metrics, tags)


@settings(max_examples=400)
@given(st.one_of(condition_texts, number_texts), readings)
@example("a != b", [({"a": None, "b": 1.0, "c.d": 0.0}, {"line": None, "shift": "A1"})])
def test_columns_come_to_what_the_plain_reading_of_each_row_comes_to(text, rows):
    expression = compile_expression(text, METRICS)
    found = expression.evaluate(as_columns(rows))
    for place, (values, tags) in enumerate(rows):
        plain = plainly(expression.tree, values, tags)
        if isinstance(found, Truth):
            known = True if found.yes[place] else False if found.no[place] else None
            assert known is plain, (text, values, tags)
        else:
            assert found[place] == pytest.approx(NAN if plain is None else plain, rel=1e-9, nan_ok=True), (text, values)


PIECES = [
    *"()+-*/%^<>,.'\"`=!&| \n",
    "a",
    "tag",
    "tag.x",
    "and",
    "or",
    "not",
    "in",
    "like",
    "1",
    "1e9",
    "<=",
    "==",
    "é",
    "\ud800",
    *FUNCTIONS,
]


@settings(max_examples=1500)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join) | st.text(max_size=40))
def test_any_text_is_an_expression_or_is_refused_with_a_place_in_it(text):
    mistake = None
    try:
        compile_expression(text).evaluate(columns(a=[1.0, NAN]))
    except ExpressionError as error:
        mistake = error
    assert mistake is None or (0 <= mistake.offset <= len(text) and mistake.text)
