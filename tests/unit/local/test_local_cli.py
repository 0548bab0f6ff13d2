"""The command line: what is wrong is said in one line, with what was probably meant."""

import pytest

from watchkeeper import __version__
from watchkeeper_local.cli import main
from watchkeeper_local.lock import only_one


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["upp"], "did you mean up?"),
        (["up", "--http-prt", "3"], "did you mean --http-port?"),
        (["demo", "--seconds", "x"], "invalid positive number value: 'x'"),
        (["demo", "--seconds", "0"], "0 is not a positive number"),
        ([], "COMMAND"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(arguments, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay", "no-such.csv"], "no such file: no-such.csv"),
        (["replay", "--to", "http://127.0.0.1:1", __file__], "does not answer"),
        (["status", "--url", "http://127.0.0.1:1"], "is `watchkeeper up` running there?"),
        (["up", "--http-port", "x"], "--http-port: 'x' does not fit"),
        (["up", "--receivers", "telegram=x"], "unknown receiver"),
        (["models", "list", "--data-dir", "/no/such/folder"], "no Watchkeeper has kept data there"),
    ],
)
def test_what_cannot_be_done_is_said_in_words_and_ends_with_2(arguments, said, capsys, tmp_path):
    if arguments[0] == "up":
        arguments = [*arguments, "--data-dir", str(tmp_path)]
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert __version__ in capsys.readouterr().out


def test_the_pipeline_is_printed_as_a_table_and_as_a_picture(capsys):
    assert main(["pipeline"]) == 0
    assert "rag-error-reporting" in capsys.readouterr().out
    assert main(["pipeline", "--mermaid"]) == 0
    assert capsys.readouterr().out.startswith("flowchart")


def test_a_data_folder_is_held_by_one_and_free_again_afterwards(tmp_path):
    with only_one(tmp_path), pytest.raises(Exception, match="in use by another Watchkeeper"), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass
