import pytest

from kfp_hallmark.runner.logs import failure, last_lines

TRACEBACK = """making data
Traceback (most recent call last):
  File "a.py", line 1, in <module>
KeyError: 'first'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 3, in <module>
    raise InputError("x must be y; got z.", "Write y.")
kfp_hallmark.errors.InputError: x must be y; got http://bob:s3cr@t@host/a.
Hint: Write y.
"""


@pytest.fixture
def log(tmp_path):
    def write(text):
        path = tmp_path / "step.log"
        path.write_text(text)
        return path

    return write


def test_the_reasons_that_an_error_lists_are_told_between(log):
    listed = TRACEBACK.replace(
        "Hint: Write y.", "- one: fail: far beyond.\nmore\n- two: There is no verdict.\nHint: Write y."
    )
    told = "InputError: x must be y; got http://host/a.\n- one: fail: far beyond.\n- two: There is no verdict."
    assert failure(log(listed), 0, 1) == f"{told}\nHint: Write y."


def test_the_last_error_and_its_hint_are_the_reason(log):
    assert failure(log(TRACEBACK), 0, 1) == "InputError: x must be y; got http://host/a.\nHint: Write y."


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "ValueError: a: b", "pandas.errors.ParserError: x\nmore of x"])
def test_an_error_of_any_kind_is_told(log, error):
    text = f"Traceback (most recent call last):\n  File\n{error}\n"
    assert failure(log(text), 0, 1) == error.rpartition("errors.")[2].partition("\n")[0]


def test_what_an_earlier_attempt_wrote_is_not_the_reason(log):
    assert failure(log(TRACEBACK + "again\n"), len(TRACEBACK), 1) == "It ended with exit code 1."


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (3, "exit code 3."),
        (137, "exit code 137 (SIGKILL)."),
        (-15, "exit code -15 (SIGTERM)."),
        (255, "exit code 255."),
    ],
)
def test_without_an_error_the_exit_code_is_told(tmp_path, code, reason):
    assert failure(tmp_path / "absent.log", 0, code) == f"It ended with {reason}"


def test_the_last_lines_of_a_long_line_are_short(log):
    assert last_lines(log("a\nb\nc\n"), 2) == ["b", "c"]
    assert len(last_lines(log("x" * 1_000_000), 5)[0]) == 20_000
