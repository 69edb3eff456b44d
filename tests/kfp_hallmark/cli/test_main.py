"""The command, as a user calls it: what it prints and how it exits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kfp_hallmark import __version__, components, runner
from kfp_hallmark.contracts import audit
from kfp_hallmark.pipelines import governed_training

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples" / "acs_employment" / "released.yaml"


@pytest.fixture
def hallmark(tmp_path):
    def call(*arguments, columns=200):
        command = [Path(sys.executable).parent / "hallmark", *arguments]
        variables = os.environ | {"COLUMNS": str(columns), "HALLMARK_HOME": str(tmp_path / "state")}
        return subprocess.run(list(map(str, command)), cwd=tmp_path, env=variables, capture_output=True, text=True)

    return call


def test_version(hallmark):
    assert hallmark("--version").stdout.strip() == __version__


def test_list_names_everything(hallmark):
    done = hallmark("list")
    assert done.returncode == 0
    for name in [*components.__all__, "governed_training"]:
        assert name in done.stdout


def test_show_a_component(hallmark):
    done = hallmark("show", "fairness_gate")
    assert done.returncode == 0
    assert "sensitive_features" in done.stdout
    assert "verdict" in done.stdout


@pytest.mark.parametrize("columns", [80, 200])
def test_show_tells_everything_in_the_width_that_there_is(hallmark, columns):
    fields = runner.parameter_fields(governed_training).values()
    shown = hallmark("show", "governed_training", columns=columns).stdout
    assert max(map(len, shown.splitlines())) <= columns
    words = " ".join(shown.split())
    for field in fields:
        need = "required" if field.required else "optional" if field.default is None else f"default {field.default!r}"
        assert f" {field.name} {field.type} {need} {field.description} " in f" {words} "


def test_show_names_the_nearest(hallmark):
    done = hallmark("show", "fairnes_gate")
    assert done.returncode == 2
    assert "Did you mean 'fairness_gate'?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "governed_trainin"], "Did you mean 'governed_training'?"),
        (["run", "absent.yaml"], "got 'absent.yaml'.\nHint: Compile it first"),
        (["run", "my_pipeline.py:my_pipeline"], "got 'my_pipeline.py:my_pipeline'.\nHint: Compile it first"),
        (["run", __file__], "test_main.py' cannot be read"),
        (["run", "governed_training", "--params", EXAMPLE, "--set", "sede=1"], "Did you mean 'seed'?"),
        (["run", "governed_training", "--params", EXAMPLE, "--set", "foo=1"], "`hallmark show PIPELINE` lists"),
        (["run", "governed_training", "--params", EXAMPLE, "--set", "seed=one"], "'seed' must be of type int"),
        (["run", "governed_training", "--params", EXAMPLE, "--set", "seed"], "--set must be NAME=VALUE"),
        (["run", "governed_training", "--params", EXAMPLE, "--set", "slices={a: 1}"], "'slices' must be of type list"),
        (["run", "governed_training"], "missing: "),
        (["run", "governed_training", "--params", "absent.yaml"], "--params must be a file"),
        (["run", "governed_training", "--params", ROOT / "LICENSE"], "--params must"),
        (["run", "governed_training", "--no-such-option"], "No such option"),
        (["run", "governed_training", "--params", "/dev/null/none"], "--params must be a file"),
        (
            ["run", "governed_training", "--params", EXAMPLE, "--output", "/proc/none"],
            "must be able to make the folder",
        ),
        (["env", "sync", "mll"], "Did you mean 'ml'?"),
        (["image", "build", "mll"], "Did you mean 'ml'?"),
        (["audit", "verify", "absent.jsonl"], "An audit log must be a file"),
        (["run", "governed_training", "--params", EXAMPLE, "--platform", "dcoker"], "Did you mean 'docker'?"),
    ],
)
def test_wrong_usage_is_refused_before_anything_starts(hallmark, tmp_path, arguments, message):
    done = hallmark(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_names_in_a_file_of_parameters_are_text(hallmark, tmp_path):
    (tmp_path / "params.yaml").write_text("1: one\n")
    done = hallmark("run", "governed_training", "--params", "params.yaml")
    assert done.returncode == 2
    assert "names that are text; 'params.yaml' holds 1" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_the_system_refuses_is_told_without_a_traceback(hallmark, monkeypatch):
    monkeypatch.setenv("HALLMARK_ENVIRONMENTS", "/proc/none")
    done = hallmark("run", "governed_training", "--params", EXAMPLE)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_an_output_folder_that_holds_something_is_refused(hallmark, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    done = hallmark("run", "governed_training", "--params", EXAMPLE, "--output", "run")
    assert done.returncode == 2
    assert "must be new or empty" in done.stderr
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_a_missing_source_fails_the_run_and_says_why(hallmark, tmp_path):
    done = hallmark("run", "governed_training", "--params", EXAMPLE, "--set", "data_uri=absent.csv", "--output", "run")
    assert done.returncode == 1
    assert "load_dataset" in done.stdout
    assert "absent.csv" in done.stdout
    assert str(Path("run", "logs", "load_dataset.log")) in done.stdout
    assert [line["record"]["state"] for line in audit.records(tmp_path / "state" / "audit.jsonl")] == ["FAILED"]


class TestAudit:
    @pytest.fixture
    def log(self, tmp_path):
        path = tmp_path / "audit.jsonl"
        for number in range(3):
            audit.append(path, {"pipeline": "p", "state": "SUCCEEDED", "number": number})
        return path

    def test_whole(self, hallmark, log):
        done = hallmark("audit", "verify", log)
        assert done.returncode == 0
        assert done.stdout.startswith("3 lines, unbroken")

    def test_changed_line(self, hallmark, log):
        log.write_text(log.read_text().replace('"number":1', '"number":7'))
        done = hallmark("audit", "verify", log)
        assert done.returncode == 1
        assert "line 2 was changed" in done.stderr

    def test_cut(self, hallmark, log):
        last = audit.verify(log)[1]
        log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:2]))
        assert hallmark("audit", "verify", log).returncode == 0
        assert hallmark("audit", "verify", log, "--expect", last).returncode == 1

    def test_show(self, hallmark, log):
        assert len(hallmark("audit", "show", log).stdout.splitlines()) == 3


def test_the_example_parameters_are_the_pipelines(hallmark):
    shown = hallmark("show", "governed_training").stdout
    for example in ("released", "halted"):
        for name in yaml.safe_load((EXAMPLE.parent / f"{example}.yaml").read_text()):
            assert name in shown
