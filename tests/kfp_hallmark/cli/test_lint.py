"""`hallmark lint`, as a user calls it: what it prints and how it exits."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from kfp_hallmark import lint
from kfp_hallmark.cli.main import main

ROOT = Path(__file__).resolve().parents[3]
VERTEX = ROOT / "compiled" / "pipelines" / "governed_training.vertex.yaml"
KUBEFLOW = ROOT / "compiled" / "pipelines" / "governed_training.kubeflow.yaml"
DIGEST = f"python@sha256:{'0' * 64}"


@pytest.fixture
def hallmark_lint(tmp_path, monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "120")
        monkeypatch.setattr(sys, "argv", ["hallmark", "lint", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return SimpleNamespace(returncode=ended.value.code or 0, stdout=printed.out, stderr=printed.err)

    return call


@pytest.fixture
def spec(tmp_path):
    """Write a pipeline of one step on an image, and return its name."""

    def write(image=DIGEST, name="pipeline.yaml"):
        (tmp_path / name).write_text(
            f"""\
components:
  comp-say:
    executorLabel: exec-say
deploymentSpec:
  executors:
    exec-say:
      container:
        command: [python3, -m, pip, kfp.dsl.executor_main]
        image: "{image}"
pipelineInfo:
  name: p
root:
  dag:
    tasks:
      say:
        componentRef:
          name: comp-say
schemaVersion: 2.1.0
"""
        )
        return name

    return write


def test_nothing_found(hallmark_lint, spec):
    done = hallmark_lint(spec())
    assert done.returncode == 0
    expected = "1 file held against Kubeflow 2.14 to 2.17, Vertex AI, local, Docker: nothing found.\n"
    assert done.stdout == expected


def test_an_error(hallmark_lint, spec):
    done = hallmark_lint(spec("python:latest"), spec(name="other.yaml"))
    assert done.returncode == 1
    assert done.stdout == (
        """\
pipeline.yaml

  error HM501 floating-image Kubeflow, Vertex AI, Docker
    An image has the tag `latest` or none: what runs is whatever was pushed last.
    line 9  exec-say  python:latest
    Fix: Name the image by its digest, `name@sha256:...`; `hallmark image lock` and `hallmark compile` do.
    https://kubernetes.io/docs/concepts/containers/images/#image-names

2 files held against Kubeflow 2.14 to 2.17, Vertex AI, local, Docker: 1 error, 0 warnings.
"""
    )


def test_a_warning_fails_only_when_strict(hallmark_lint, spec):
    assert hallmark_lint(spec("python:3.11")).returncode == 0
    assert hallmark_lint(spec("python:3.11"), "--strict").returncode == 1
    assert hallmark_lint(spec(), "--strict").returncode == 0


def test_rules_that_are_chosen(hallmark_lint, spec):
    assert hallmark_lint(spec("python"), "--ignore", "HM501, HM502").returncode == 0
    assert hallmark_lint(spec("python"), "--select", "HM101,HM501").returncode == 1
    assert hallmark_lint(spec("python"), "--select", "HM101").returncode == 0


def test_backends_and_versions(hallmark_lint):
    done = hallmark_lint(VERTEX, "--backend", "kubeflow", "--version", "2.5", "--version", "2.14")
    assert done.returncode == 1
    assert "error HM104 final-status Kubeflow below 2.14" in done.stdout
    assert "1 file held against Kubeflow 2.5 to 2.14: " in done.stdout
    done = hallmark_lint(VERTEX, "--backend", "vertex", "--backend", "docker")
    assert done.returncode == 0
    assert "1 file held against Vertex AI, Docker: 0 errors, 18 warnings." in done.stdout


def test_a_file_with_settings_for_kubernetes(hallmark_lint):
    done = hallmark_lint(KUBEFLOW)
    assert done.returncode == 0
    assert f"{KUBEFLOW} has settings for Kubernetes, so it was not held against Vertex AI." in done.stdout
    done = hallmark_lint(KUBEFLOW, "--backend", "vertex")
    assert done.returncode == 1
    assert "error HM201 platform-document Vertex AI" in done.stdout


def test_json(hallmark_lint, spec):
    done = hallmark_lint(spec("python"), "--format", "json")
    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert (result["schema"], result["errors"], result["warnings"]) == ("hallmark/lint/v1", 1, 0)
    (file,) = result["files"]
    assert file["backends"] == {
        "kubeflow": ["2.14", "2.15", "2.16", "2.17"],
        "vertex": [],
        "local": [],
        "docker": [],
    }
    (finding,) = file["findings"]
    rule = next(rule for rule in lint.all_rules() if rule.code == "HM501")
    assert finding == {
        "code": "HM501",
        "name": "floating-image",
        "severity": "error",
        "affected": "Kubeflow, Vertex AI, Docker",
        "line": 9,
        "place": "exec-say",
        "path": "deploymentSpec.executors.exec-say.container.image",
        "detail": "python",
        "summary": rule.summary,
        "fix": rule.fix,
        "source": rule.source,
    }


def test_github(hallmark_lint, spec):
    done = hallmark_lint(spec("py%0A:latest", name="a,b:c.yaml"), "--format", "github")
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert line.startswith("::error file=a%2Cb%3Ac.yaml,line=9,title=HM501 floating-image::exec-say: py%250A:latest. ")
    assert hallmark_lint(spec(), "--format", "github").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.yaml"], "FILE must be a file; got 'gone.yaml'."),
        (["pipeline.yaml", "--backend", "kubflow"], "Did you mean 'kubeflow'?"),
        (["pipeline.yaml", "--version", "2.18"], "--version must be from 2.0 to 2.17; got '2.18'."),
        (["pipeline.yaml", "--version", "2.14", "--backend", "vertex"], "--version must be with the backend kubeflow"),
        (["pipeline.yaml", "--select", "HM1"], "--select must be codes of rules; got 'HM1'."),
        (["pipeline.yaml", "--format", "xml"], "--format must be one of text, json, github; got 'xml'."),
        (["pipeline.yaml", "empty.yaml"], "'empty.yaml' must hold a compiled pipeline; it is empty."),
        ([], "Missing argument 'FILE...'"),
    ],
)
def test_what_is_wrong_is_told(arguments, message, hallmark_lint, spec, tmp_path):
    spec()
    (tmp_path / "empty.yaml").write_text("")
    done = hallmark_lint(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
