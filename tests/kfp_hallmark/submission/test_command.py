"""The same commands lead to Vertex AI: here, where the one fake of it in this process is."""

import sys
from pathlib import Path

import pytest
from fakes.vertex.server import LOCATION, PROJECT

from kfp_hallmark.cli import main

ROOT = Path(__file__).resolve().parents[3]
SPEC = ROOT / "compiled" / "pipelines" / "governed_training.vertex.yaml"
EXAMPLE = ROOT / "examples" / "acs_employment" / "released.yaml"
GIVEN = ("--params", EXAMPLE, "--set", "data_uri=gs://models/2015.parquet")


@pytest.fixture
def hallmark(fake, tmp_path, monkeypatch, capsys):
    """Call the command for Vertex AI in this process; returns exit code, output and errors."""
    settings = f'[vertex]\nproject = "{PROJECT}"\nlocation = "{LOCATION}"\npipeline_root = "gs://models/runs"\n'
    (tmp_path / "hallmark.toml").write_text(settings)
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["hallmark", *map(str, arguments), "--platform", "vertex"])
        with pytest.raises(SystemExit) as exit_:
            main.main()
        printed = capsys.readouterr()
        return exit_.value.code or 0, printed.out, printed.err

    return call


def test_a_run_is_submitted_listed_and_shown(hallmark):
    code, output, errors = hallmark("submit", SPEC, *GIVEN, "--run-name", "first", "--label", "team=risk")
    assert (code, errors) == (0, "")
    lines = [line.split() for line in output.splitlines()]
    assert ["id", "first"] in lines
    assert ["labels", "team=risk"] in lines
    assert "first" in hallmark("runs", "list")[1]
    assert ["pipeline", "governed-training"] in [
        line.split() for line in hallmark("runs", "show", "first")[1].splitlines()
    ]


def test_a_schedule_is_made_by_cron_alone(hallmark):
    assert hallmark("submit", SPEC, *GIVEN, "--cron", "0 6 * * 1", "--run-name", "weekly")[0] == 0
    assert "weekly" in hallmark("runs", "schedules")[1]
    code, _, errors = hallmark("submit", SPEC, *GIVEN, "--every", "6h")
    assert code == 2
    assert "it knows no intervals" in errors
