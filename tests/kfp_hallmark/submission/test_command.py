"""The same commands lead to Vertex AI: here, where the one fake of it in this process is."""

import io
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.vertex.server import LOCATION, PROJECT
from rich.console import Console

from kfp_hallmark import submission
from kfp_hallmark.cli import main
from kfp_hallmark.submission import following

ROOT = Path(__file__).resolve().parents[3]
SPEC = ROOT / "compiled" / "pipelines" / "governed_training.vertex.yaml"
EXAMPLE = ROOT / "examples" / "acs_employment" / "released.yaml"
GIVEN = (
    "--params",
    EXAMPLE,
    "--set",
    "data_uri=gs://models/2015.parquet",
    "--set",
    "statement_uri=null",
    "--set",
    "contract_uri=null",
)
SETTINGS = f'[vertex]\nproject = "{PROJECT}"\nlocation = "{LOCATION}"\npipeline_root = "gs://models/runs"\n'
JOBS = f"projects/123456789012/locations/{LOCATION}/pipelineJobs/"
DECIDED = {"load-dataset": "SUCCEEDED", "decide-release": "SUCCEEDED"}


@pytest.fixture
def folder(fake, locked, monkeypatch):
    """A working folder with settings that lead to the service, and images that are pinned."""
    (locked / "hallmark.toml").write_text(SETTINGS)
    monkeypatch.chdir(locked)
    monkeypatch.setattr(following, "POLL_SECONDS", 0.0)
    return locked


@pytest.fixture
def hallmark(folder, monkeypatch, capsys):
    """Call the command for Vertex AI in this process; returns exit code, output and errors."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["hallmark", *map(str, arguments), "--platform", "vertex"])
        with pytest.raises(SystemExit) as exit_:
            main.main()
        printed = capsys.readouterr()
        return exit_.value.code or 0, printed.out, printed.err

    return call


@pytest.fixture
def run(hallmark, monkeypatch):
    """Call a command as it was printed."""

    def call(printed):
        words = shlex.split(printed)
        assert words[0] == "hallmark"
        platform = words.index("--platform")
        assert words[platform + 1] == "vertex"
        return hallmark(*words[1:platform], *words[platform + 2 :])

    return call


def fields(output):
    """Return the lines `name value` of an output."""
    return dict(line.split(maxsplit=1) for line in output.splitlines() if len(line.split()) > 1)


def test_a_run_is_submitted_listed_shown_and_cancelled(hallmark, fake):
    code, output, errors = hallmark(
        "submit", SPEC, *GIVEN, "--run-name", "first", "--label", "team=risk", "--experiment", "loans"
    )
    told = fields(output)
    assert (code, errors) == (0, "")
    assert (told["id"], told["labels"], told["experiment"]) == ("first", "team=risk", "loans")
    assert told["wait"] == "hallmark runs wait first --platform vertex"
    assert hallmark("submit", SPEC, *GIVEN, "--run-name", "second")[0] == 0

    code, output, _ = hallmark("runs", "list")
    assert (code, [line.split()[-1] for line in output.splitlines()]) == (0, ["id", "second", "first"])
    assert [line.split()[-1] for line in hallmark("runs", "list", "--experiment", "loans")[1].splitlines()] == [
        "id",
        "first",
    ]
    assert "second" in hallmark("runs", "list", "--limit", "1")[1]
    assert hallmark("runs", "list", "--experiment", "")[0] == 2

    fake.goes(DECIDED)
    hallmark("runs", "show", "first")
    code, output, _ = hallmark("runs", "show", "first")
    assert (code, fields(output)["pipeline"]) == (0, "governed-training")
    assert ["succeeded", "load_dataset"] in [line.split() for line in output.splitlines()]

    code, output, _ = hallmark("runs", "cancel", "second")
    assert (code, fields(output)["state"]) == (0, "cancelling")


def test_without_runs_there_is_nothing_to_list(hallmark):
    assert hallmark("runs", "list")[:2] == (0, "There are no runs.\n")
    assert hallmark("runs", "schedules")[:2] == (0, "There are no schedules.\n")


@pytest.mark.parametrize(
    ("last", "code", "word"),
    [
        ({"deploy-model": "SUCCEEDED"}, 0, "Succeeded"),
        ({"enforce-decision": "FAILED"}, 3, "Halted"),
        ({"deploy-model": "FAILED"}, 1, "Failed"),
    ],
)
def test_waiting_shows_the_steps_and_exits_as_a_run_here(hallmark, fake, last, code, word):
    fake.goes(DECIDED, DECIDED | last)
    done = hallmark("submit", SPEC, *GIVEN, "--wait")
    assert (done[0], done[2]) == (code, "")
    assert f"{word} in " in done[1]
    assert [line.split()[:2] for line in done[1].splitlines() if line.startswith("ok ")][:2] == [
        ["ok", "load_dataset"],
        ["ok", "decide_release"],
    ]


def test_a_terminal_gets_the_table_of_a_run_on_this_machine(hallmark, fake):
    fake.goes({"load-dataset": "RUNNING"}, DECIDED | {"enforce-decision": "FAILED"})
    hallmark("submit", SPEC, *GIVEN, "--run-name", "first")
    screen = io.StringIO()
    console = Console(file=screen, width=120, force_terminal=True, color_system=None)
    run = submission.follow(submission.service("vertex"), "first", console=console)
    last = screen.getvalue().rpartition("load_dataset")[2]
    assert [step.name for step in run.steps][1] == "split_dataset"
    for step in run.steps[1:]:
        assert step.name in last
        assert step.state in last
    assert "Halted" in last


def test_a_wait_that_the_service_ended_is_taken_up_by_the_printed_command(hallmark, fake, run):
    fake.goes(DECIDED, lambda: fake.fail("GetPipelineJob", "PERMISSION_DENIED"), DECIDED)
    code, output, errors = hallmark("submit", SPEC, *GIVEN, "--wait")
    assert code == 1
    again = errors.partition("Take the wait up again: ")[2].strip()
    assert again == f"hallmark runs wait {fields(output)['id']} --platform vertex"
    assert run(again)[0] == 0


def test_a_service_that_stays_away_says_nothing_of_another_run(hallmark, fake, monkeypatch):
    monkeypatch.setattr(following, "PATIENCE_SECONDS", 0.0)
    fake.goes(DECIDED, lambda: fake.fail("GetPipelineJob", "INTERNAL"))
    code, output, errors = hallmark("submit", SPEC, *GIVEN, "--wait")
    again = f"hallmark runs wait {fields(output)['id']} --platform vertex"
    assert (code, errors.splitlines()[1]) == (1, f"Hint: The run goes on. Take the wait up again: {again}")


def test_ctrl_c_leaves_the_run_running_and_the_printed_command_takes_it_up(hallmark, fake, folder, run):
    fake.goes(*[DECIDED] * 3)
    assert hallmark("submit", SPEC, *GIVEN, "--run-name", "first")[0] == 0
    looked = fake.arrival("GetPipelineJob")
    command = [shutil.which("hallmark", path=Path(sys.executable).parent), "runs", "wait", "first"]
    process = subprocess.Popen(
        [*command, "--platform", "vertex"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert looked.wait(timeout=60)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    printed = [line.split(maxsplit=1) for line in output.splitlines()]
    assert ["end", "hallmark runs cancel first --platform vertex"] in printed
    assert "CancelPipelineJob" not in fake.calls
    (again,) = (command for name, command in filter(None, printed) if name == "wait")
    assert run(again)[0] == 0


def test_printed_commands_name_the_settings_that_were_given(hallmark, fake, folder, run):
    (folder / "hallmark.toml").rename(folder / "our settings.toml")
    named = ("--settings", "our settings.toml")
    code, output, _ = hallmark("submit", SPEC, *GIVEN, *named)
    assert code == 0
    assert fields(output)["wait"].endswith("--platform vertex --settings 'our settings.toml'")
    fake.goes(DECIDED)
    assert run(fields(output)["wait"])[0] == 0

    fake.fail("CreatePipelineJob", "INTERNAL", after=True)
    fake.fail("GetPipelineJob", "INTERNAL")
    code, _, errors = hallmark("submit", SPEC, *GIVEN, *named)
    look = errors.partition("Look with `")[2].partition("`")[0]
    assert (code, run(look)[0]) == (1, 0)


def test_a_schedule_is_made_listed_and_removed(hallmark, fake):
    code, output, _ = hallmark("submit", SPEC, *GIVEN, "--cron", "TZ=Europe/Berlin 0 6 * * 1", "--run-name", "weekly")
    (made,) = fake.schedules
    assert (code, fields(output)["id"]) == (0, made.rpartition("/")[2])
    assert "TZ=Europe/Berlin 0 6 * * 1" in hallmark("runs", "schedules")[1]
    code, _, errors = hallmark("submit", SPEC, *GIVEN, "--cron", "0 7 * * 1", "--run-name", "weekly")
    assert (code, len(fake.schedules)) == (2, 1)
    assert "there is a schedule 'weekly', TZ=Europe/Berlin 0 6 * * 1." in errors
    assert hallmark("runs", "unschedule", made.rpartition("/")[2])[0] == 0
    assert fake.schedules == {}


def test_a_schedule_is_made_by_cron_alone(hallmark):
    code, _, errors = hallmark("submit", SPEC, *GIVEN, "--every", "6h")
    assert code == 2
    assert "it knows no intervals" in errors


COMMANDS = {
    "submit": ("submit", SPEC, *GIVEN),
    "schedule": ("submit", SPEC, *GIVEN, "--cron", "0 6 * * 1"),
    "list": ("runs", "list"),
    "show": ("runs", "show", "first"),
    "wait": ("runs", "wait", "first"),
    "cancel": ("runs", "cancel", "first"),
    "schedules": ("runs", "schedules"),
    "unschedule": ("runs", "unschedule", "7000"),
}
METHODS = (
    *("CreatePipelineJob", "GetPipelineJob", "ListPipelineJobs", "CancelPipelineJob"),
    *("CreateSchedule", "ListSchedules", "DeleteSchedule"),
)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "code",
    [
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "RESOURCE_EXHAUSTED",
        "INTERNAL",
        "DEADLINE_EXCEEDED",
    ],
)
def test_a_service_that_refuses_every_call_is_told(hallmark, fake, monkeypatch, command, code):
    monkeypatch.setattr(following, "PATIENCE_SECONDS", 0.0)
    for method in METHODS:
        fake.fail(method, code, "As the test wants.", times=99)
    exit_code, _, errors = hallmark(*COMMANDS[command])
    assert exit_code in (1, 2)
    error, hint = errors.splitlines()
    assert error.startswith("Error: ")
    assert hint.startswith("Hint: ")
