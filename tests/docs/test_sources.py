"""The examples of docs/sources.md: the pipeline is compiled, the settings are read."""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from kfp_hallmark import settings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sources.md").read_text()


def example(language, first_line):
    (text,) = (text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if text.startswith(first_line))
    return text


def test_the_pipeline_compiles(tmp_path):
    (tmp_path / "loans.py").write_text(example("python", "# loans.py"))
    subprocess.run([sys.executable, "loans.py"], cwd=tmp_path, check=True)
    spec = yaml.safe_load((tmp_path / "loans.yaml").read_text())
    given = spec["root"]["dag"]["tasks"]["query-dataset"]["inputs"]["parameters"]
    assert "password" not in str(given).lower()
    assert ":since" in given["query"]["runtimeValue"]["constant"]


def test_the_settings_fill_the_password_from_a_secret(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("HALLMARK_")]:
        monkeypatch.delenv(name)
    (tmp_path / "hallmark.toml").write_text(example("toml", "[kubeflow.secrets"))
    read = settings.load(tmp_path / "hallmark.toml")
    assert read.kubeflow.secrets == {"credit-database": {"password": "HALLMARK_DATABASE_PASSWORD"}}
    assert set(read.vertex.secrets) == {"HALLMARK_DATABASE_PASSWORD"}
