"""docs/client.md: its example is run against a server, and what it says in figures is what the code does."""

import inspect

import pytest

from tests.docs.pages import blocks, page
from tests.unit.client.servers import Server
from watchkeeper_client import Client, engine, lifetime, tally

PAGE = "docs/client.md"


@pytest.mark.parametrize("block", blocks(PAGE, "python"), ids=str)
def test_an_example_sends_what_the_page_says(block, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    server = Server()
    try:
        exec(compile(block.text.replace("http://127.0.0.1:8080", server.url), str(block), "exec"), {})  # noqa: S102
    finally:
        server.close()
    assert capsys.readouterr().out == "0 readings lost, 0 values or readings refused\n"
    first = server.stored()[0]
    assert (first["device"], first["site"], first["tags"]) == ("checkout-service", "basel", {"version": "1.4"})
    timers = {f"{name}.{what}" for name in ("render", "pay") for what in ("ms", "ms.max", "count")}
    assert set(first["values"]) == {"queue_depth", "orders", "bytes_sent"} | timers
    assert [path.name.rpartition("-")[0] for path in (tmp_path / "watchkeeper-client").iterdir()] == [
        "checkout-service"
    ]


def test_every_argument_and_its_default_is_on_the_page():
    text = page(PAGE)
    for name, parameter in inspect.signature(Client).parameters.items():
        assert f"`{name}`" in text
        if isinstance(parameter.default, (int, float)):
            assert f"| `{name}` | {parameter.default:,.0f} |" in text


def test_the_figures_of_the_page_are_those_of_the_code():
    text = " ".join(page(PAGE).split())
    assert f"{tally.MOST_NAMES:,} names of 1 to {tally.LONGEST_NAME} characters" in text
    assert f"more than {tally.MOST_VALUES}" in text
    assert (engine.FIRST_WAIT_S, engine.LONGEST_WAIT_S, lifetime.AT_EXIT_S) == (0.5, 60.0, 2.0)
