import io

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
