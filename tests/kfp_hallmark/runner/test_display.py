import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from kfp import compiler
from rich.console import Console

from kfp_hallmark import runner


def test_a_terminal_gets_a_table_of_all_steps(pipelines, books, tmp_path):
    screen = io.StringIO()
    console = Console(file=screen, width=120, force_terminal=True, color_system=None)
    result = runner.run(pipelines.governed, books[0], state=tmp_path / "state", base=tmp_path, console=console)
    last = screen.getvalue().rpartition("make_data")[2]
    assert result.status == "succeeded"
    for step in result.steps[1:]:
        assert step.name in last
        assert step.state in last
    assert "pass" in last
    assert "Succeeded" in last


def test_a_line_with_brackets_is_shown_as_it_is(run):
    from kfp import dsl

    from kfp_hallmark.component import component

    @component(environment="release")
    def shout():
        raise ValueError("[red] must stay [/]")

    @dsl.pipeline(name="shouting")
    def shouting():
        shout()

    _, screen = run(shouting)
    assert "ValueError: [red] must stay [/]" in screen


def test_a_log_that_is_long_and_binary_is_shown_in_short_and_steers_no_terminal(run):
    from kfp import dsl

    from kfp_hallmark.component import component

    @component(environment="release")
    def shout():
        import sys

        sys.stdout.buffer.write(b"\xff\x00" * 2_000_000)
        raise ValueError("\x1b[2J cleared")

    @dsl.pipeline(name="shouting")
    def shouting():
        shout()

    _, screen = run(shouting)
    assert "[2J cleared" in screen
    assert "\x1b" not in screen
    assert len(screen) < 30_000


SCRIPT = """
import sys
from pathlib import Path
from kfp_hallmark import runner

folder = Path(sys.argv[1])
pipeline, parameters = folder / "pipeline.yaml", {"books_uri": "books.txt"}
result = runner.run(pipeline, parameters, state=folder / "state", output=folder / "out", base=folder)
sys.exit(result.exit_code)
"""


@pytest.mark.parametrize("screen", ["closed pipe", "full disk"])
def test_a_screen_that_takes_nothing_ends_no_run(pipelines, tmp_path, screen):
    compiler.Compiler().compile(pipelines.governed, str(tmp_path / "pipeline.yaml"))
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    with Path("/dev/full").open("w") as full:
        output = subprocess.PIPE if screen == "closed pipe" else full
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, text=True)
    if process.stdout:
        process.stdout.close()
    errors = process.stderr.read()
    assert (process.wait(), errors) == (0, "")
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "succeeded"
    assert (tmp_path / "out" / "index.html").is_file()
    assert (tmp_path / "books.txt").read_text().startswith("SUCCEEDED")
