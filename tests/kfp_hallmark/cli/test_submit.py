"""`hallmark submit` and `hallmark runs`, as a user calls them, against Kubeflow Pipelines."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kfp_hallmark.cli import main
from kfp_hallmark.environments import ENVIRONMENTS, image, lock
from kfp_hallmark.submission import following

ROOT = Path(__file__).resolve().parents[3]
SPEC = ROOT / "compiled" / "pipelines" / "governed_training.kubeflow.yaml"
EXAMPLE = ROOT / "examples" / "acs_employment" / "released.yaml"
GIVEN = (
    "--params",
    EXAMPLE,
    "--set",
    "data_uri=s3://acs/2015.parquet",
    "--set",
    "statement_uri=null",
    "--set",
    "contract_uri=null",
)
DECIDED = {"load-dataset": "SUCCEEDED", "decide-release": "SUCCEEDED"}


@pytest.fixture
def folder(kubeflow, tmp_path, monkeypatch):
    """A working folder with settings that lead to the service, and images that are pinned."""
    (tmp_path / "hallmark.toml").write_text(f'[kubeflow]\nhost = "{kubeflow.host}"\n')
    references = {image(name): f"{lock.repository(image(name))}@sha256:{'a' * 64}" for name in ENVIRONMENTS}
    lock.write(tmp_path / lock.FILE, references)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def hallmark(folder, monkeypatch, capsys):
    """Call the command in this process; returns exit code, output and errors."""
    monkeypatch.setattr(following, "POLL_SECONDS", 0.0)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["hallmark", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main.main()
        printed = capsys.readouterr()
        return exit_.value.code or 0, printed.out, printed.err

    return call


@pytest.fixture
def submitted(hallmark, kubeflow):
    """Submit a compiled pipeline, and return its run's id."""

    def call(*stages):
        kubeflow.course(*stages)
        assert hallmark("submit", SPEC, "--platform", "kubeflow", *GIVEN)[0] == 0
        return list(kubeflow.runs)[-1]

    return call


def fields(output):
    """Return the lines `name value` of an output."""
    return dict(line.split(maxsplit=1) for line in output.splitlines() if len(line.split()) > 1)


def test_a_compiled_pipeline_is_submitted(hallmark, kubeflow):
    code, output, _ = hallmark(
        "submit",
        SPEC,
        "--platform",
        "kubeflow",
        *GIVEN,
        "--set",
        "seed=7",
        "--experiment",
        "acs",
        "--run-name",
        "first",
    )
    (run,) = kubeflow.runs.values()
    assert code == 0
    assert run.runtime_config.parameters["data_uri"] == "s3://acs/2015.parquet"
    assert run.runtime_config.parameters["seed"] == 7
    assert run.runtime_config.parameters["sensitive_features"] == ["SEX"]
    told = fields(output)
    assert (told["run"], told["id"], told["experiment"], told["pipeline"]) == (
        "first",
        run.run_id,
        "acs",
        "governed-training",
    )
    assert told["link"] == f"{kubeflow.host}/#/runs/details/{run.run_id}"
    assert told["wait"] == f"hallmark runs wait {run.run_id} --platform kubeflow"


def test_a_pipeline_of_ours_and_one_of_the_users_are_compiled_first(hallmark, kubeflow, folder):
    (folder / "mine.py").write_text(
        "from kfp import dsl\nfrom kfp_hallmark.component import component\n\n"
        '@component(environment="release")\ndef tell(day: int):\n    print(day)\n\n'
        '@dsl.pipeline(name="mine")\ndef mine(day: int = 1):\n    tell(day=day)\n'
    )
    assert hallmark("submit", "governed_training", "--platform", "kubeflow", *GIVEN)[0] == 0
    assert hallmark("submit", "mine:mine", "--platform", "kubeflow", "--set", "day=3", "--no-cache")[0] == 0
    names = [kubeflow.spec(run_id)[0].pipeline_info.name for run_id in kubeflow.runs]
    assert names == ["governed-training", "mine"]
    assert "@sha256:" in json.dumps([run.pipeline_spec for run in kubeflow.runs.values()])


def test_a_parameter_that_the_settings_give_the_pipeline_is_known(hallmark, folder):
    settings = '[vertex]\nproject = "acme-ml"\nlocation = "europe-west4"\n[vertex.machines.train_model.parameters]\n'
    (folder / "hallmark.toml").write_text(settings + 'cpu_limit = "train_cpu"\n')
    given = ("governed_training", "--platform", "vertex", *GIVEN)
    code, _, errors = hallmark("submit", *given, "--set", "train_cpu=16")
    assert (code, "vertex.pipeline_root" in errors) == (2, True), errors
    code, _, errors = hallmark("submit", *given, "--set", "train_gpu=16")
    assert "must be one that the pipeline has; got 'train_gpu'" in errors
    assert "'train_cpu'" in errors


def test_no_cache_reuses_no_step(hallmark, kubeflow):
    assert hallmark("submit", SPEC, "--platform", "kubeflow", *GIVEN, "--no-cache")[0] == 0
    (run,) = kubeflow.runs.values()
    assert '"enableCache": true' not in json.dumps(run.pipeline_spec)
    assert "enableCache: true" in SPEC.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["governed_trainin"], "Did you mean 'governed_training'?"),
        ([SPEC, "--params", EXAMPLE], "'data_uri' must be a URI, or an absolute path that the steps see"),
        ([SPEC], "missing: "),
        ([SPEC, *GIVEN, "--set", "seed=one"], "'seed' must be of type int"),
        ([SPEC, *GIVEN, "--set", "seed"], "--set must be NAME=VALUE"),
        ([SPEC, *GIVEN, "--label", "team"], "--label must be NAME=VALUE"),
        ([SPEC, *GIVEN, "--label", "team=risk"], "must have no labels"),
        ([SPEC, *GIVEN, "--cron", "0 6 * * 1", "--every", "6h"], "must have one of cron and every; got both"),
        ([SPEC, *GIVEN, "--cron", "0 6 * * 1", "--wait"], "--wait must be without --cron and --every"),
        ([SPEC, *GIVEN, "--every", "6 hours"], "--every must be a time such as 90s, 30m, 6h or 1d; got '6 hours'"),
        ([SPEC, *GIVEN, "--settings", "absent.toml"], "The settings must be a file; got 'absent.toml'"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_sent(hallmark, kubeflow, arguments, message):
    code, _, errors = hallmark("submit", *arguments, "--platform", "kubeflow")
    assert code == 2
    assert message in " ".join(errors.split())
    assert "Traceback" not in errors
    assert kubeflow.calls == []


@pytest.mark.parametrize("pipeline", ["governed_training", SPEC])
def test_images_that_nothing_pins_are_not_sent(hallmark, kubeflow, folder, pipeline):
    (folder / lock.FILE).unlink()
    code, _, errors = hallmark("submit", pipeline, "--platform", "kubeflow", *GIVEN)
    assert code == 2
    assert "The images must be pinned by a file" in errors
    assert "Run `hallmark image push`, then `hallmark image lock`." in errors
    assert kubeflow.calls == []


def test_an_unknown_platform_is_wrong_usage(hallmark):
    code, _, errors = hallmark("runs", "list", "--platform", "kubeflaw")
    assert code == 2
    assert "Did you mean 'kubeflow'?" in errors


@pytest.mark.parametrize(
    ("last", "code", "word"),
    [
        ({"deploy-model": "SUCCEEDED"}, 0, "Succeeded"),
        ({"enforce-decision": "FAILED"}, 3, "Halted"),
        ({"deploy-model": "FAILED"}, 1, "Failed"),
    ],
)
def test_waiting_shows_the_steps_and_exits_as_a_run_here(hallmark, kubeflow, last, code, word):
    kubeflow.course(DECIDED, DECIDED | last)
    done = hallmark("submit", SPEC, "--platform", "kubeflow", *GIVEN, "--wait")
    assert done[0] == code
    assert f"{word} in " in done[1]
    assert "ok      load_dataset" in done[1]


def test_a_wait_is_taken_up_again(hallmark, submitted):
    run_id = submitted(DECIDED, DECIDED | {"enforce-decision": "FAILED"})
    assert hallmark("runs", "wait", run_id, "--platform", "kubeflow")[0] == 3
    assert hallmark("runs", "wait", run_id, "--platform", "kubeflow")[0] == 3


def test_a_wait_that_the_service_ended_says_how_to_take_it_up(hallmark, submitted, kubeflow):
    run_id = submitted(DECIDED, lambda: kubeflow.fail("run_service_get_run", 401), DECIDED)
    code, _, errors = hallmark("runs", "wait", run_id, "--platform", "kubeflow")
    assert code == 1
    assert f"Take the wait up again: hallmark runs wait {run_id} --platform kubeflow" in errors


def test_ctrl_c_leaves_the_run_running(folder, submitted, kubeflow):
    run_id = submitted({"load-dataset": "RUNNING"})
    kubeflow.runs[run_id].state = "PAUSED"
    command = [shutil.which("hallmark", path=Path(sys.executable).parent), "runs", "wait", run_id]
    process = subprocess.Popen(
        [*command, "--platform", "kubeflow"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    kubeflow.await_call("run_service_get_run")
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"hallmark runs wait {run_id} --platform kubeflow" in output
    assert f"hallmark runs cancel {run_id} --platform kubeflow" in output
    assert errors == ""
    assert "run_service_terminate_run" not in kubeflow.calls


def test_printed_commands_name_the_settings_that_were_given(hallmark, kubeflow, folder):
    (folder / "hallmark.toml").rename(folder / "our settings.toml")
    named = ("--platform", "kubeflow", "--settings", "our settings.toml")
    given = "--platform kubeflow --settings 'our settings.toml'"
    kubeflow.course(DECIDED, lambda: kubeflow.fail("run_service_get_run", 401), DECIDED)
    code, output, _ = hallmark("submit", SPEC, *named, *GIVEN)
    run_id = fields(output)["id"]
    assert (code, fields(output)["wait"]) == (0, f"hallmark runs wait {run_id} {given}")

    code, _, errors = hallmark("runs", "wait", run_id, *named)
    assert code == 1
    again = errors.partition("Take the wait up again: ")[2].strip()
    assert again == f"hallmark runs wait {run_id} {given}"
    assert hallmark(*shlex.split(again)[1:])[0] == 0

    kubeflow.fail("run_service_create_run", 504)
    _, _, errors = hallmark("submit", SPEC, *named, *GIVEN)
    assert f"Look with `hallmark runs list {given}`" in errors
    hallmark("submit", SPEC, *named, *GIVEN, "--every", "6h")
    _, _, errors = hallmark("submit", SPEC, *named, *GIVEN, "--every", "6h")
    assert f"`hallmark runs unschedule {next(iter(kubeflow.recurring_runs))} {given}`" in errors


def test_the_settings_that_are_found_by_themselves_are_not_named(hallmark, folder, monkeypatch):
    monkeypatch.setenv("HALLMARK_SETTINGS", str(folder / "hallmark.toml"))
    _, output, _ = hallmark("submit", SPEC, "--platform", "kubeflow", *GIVEN)
    assert fields(output)["wait"] == f"hallmark runs wait {fields(output)['id']} --platform kubeflow"


def test_runs_are_listed_shown_and_cancelled(hallmark, submitted):
    first, second = submitted(DECIDED), submitted(DECIDED)
    code, output, _ = hallmark("runs", "list", "--platform", "kubeflow")
    assert code == 0
    assert [line.split()[-1] for line in output.splitlines()] == ["id", second, first]
    assert hallmark("runs", "list", "--platform", "kubeflow", "--limit", "1")[1].count("governed-training") == 1
    assert hallmark("runs", "list", "--platform", "kubeflow", "--experiment", "none")[0] == 2

    code, output, _ = hallmark("runs", "show", first, "--platform", "kubeflow")
    assert code == 0
    assert fields(output)["id"] == first
    assert ["pending", "train_model"] in [line.split() for line in output.splitlines()]

    code, output, _ = hallmark("runs", "cancel", first, "--platform", "kubeflow")
    assert (code, fields(output)["state"]) == (0, "cancelling")


def test_without_runs_there_is_nothing_to_list(hallmark):
    assert hallmark("runs", "list", "--platform", "kubeflow")[:2] == (0, "There are no runs.\n")
    assert hallmark("runs", "schedules", "--platform", "kubeflow")[:2] == (0, "There are no schedules.\n")


def test_a_run_that_is_not_there_is_wrong_usage(hallmark):
    code, _, errors = hallmark("runs", "show", "absent", "--platform", "kubeflow")
    assert code == 2
    assert "A run must be one that Kubeflow has; got 'absent'." in errors


@pytest.mark.parametrize("given", ["", "a/b", "a b"])
@pytest.mark.parametrize("command", ["show", "wait", "cancel", "unschedule"])
def test_an_id_that_cannot_be_is_wrong_usage(hallmark, kubeflow, command, given):
    code, _, errors = hallmark("runs", command, given, "--platform", "kubeflow")
    assert code == 2
    assert f"must be 1 to 128 letters, digits and hyphens; got {given!r}." in errors
    assert kubeflow.calls == []


COMMANDS = {
    "submit": ("submit", SPEC, *GIVEN),
    "schedule": ("submit", SPEC, *GIVEN, "--cron", "0 6 * * 1"),
    "list": ("runs", "list"),
    "list of an experiment": ("runs", "list", "--experiment", "risk"),
    "show": ("runs", "show", "first"),
    "wait": ("runs", "wait", "first"),
    "cancel": ("runs", "cancel", "first"),
    "schedules": ("runs", "schedules"),
    "unschedule": ("runs", "unschedule", "first"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 503])
def test_a_service_that_refuses_every_call_is_told(hallmark, kubeflow, monkeypatch, command, status):
    monkeypatch.setattr(following, "PATIENCE_SECONDS", 0.0)
    kubeflow.refusing = status
    code, _, errors = hallmark(*COMMANDS[command], "--platform", "kubeflow")
    assert code in (1, 2)
    error, *hint = errors.splitlines()
    assert error.startswith("Error: ")
    assert len(hint) <= 1
    assert hint or status in (400, 404, 409)


@pytest.mark.parametrize(("option", "when"), [(("--cron", "0 6 * * 1"), "0 6 * * 1"), (("--every", "6h"), "every 6 h")])
def test_a_schedule_is_made_listed_and_removed(hallmark, kubeflow, option, when):
    code, output, _ = hallmark("submit", SPEC, "--platform", "kubeflow", *GIVEN, *option, "--run-name", "weekly")
    (schedule_id,) = kubeflow.recurring_runs
    assert code == 0
    assert (fields(output)["schedule"], fields(output)["id"], fields(output)["when"]) == ("weekly", schedule_id, when)
    _, output, _ = hallmark("runs", "schedules", "--platform", "kubeflow")
    assert "weekly" in output
    assert when in output
    code, _, errors = hallmark("submit", SPEC, "--platform", "kubeflow", *GIVEN, *option, "--run-name", "weekly")
    assert (code, len(kubeflow.recurring_runs)) == (2, 1)
    assert f"there is a schedule 'weekly', {when}." in errors
    assert hallmark("runs", "unschedule", schedule_id, "--platform", "kubeflow")[0] == 0
    assert kubeflow.recurring_runs == {}


def test_a_service_error_is_a_sentence_and_a_hint(hallmark, monkeypatch):
    monkeypatch.setenv("HALLMARK_KUBEFLOW_HOST", "http://127.0.0.1:9")
    code, _, errors = hallmark("runs", "list", "--platform", "kubeflow")
    assert code == 1
    assert len(errors.splitlines()) == 2
    assert "must be reachable; it is not" in errors
    assert os.environ["HALLMARK_KUBEFLOW_HOST"] in errors
