"""The pipeline of docs/feature_store.md, read from the page, compiles."""

import re
from pathlib import Path

import yaml

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "feature_store.md").read_text(encoding="utf-8")


def test_the_pipeline_compiles(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "churn.py"
    path.write_text(re.search(r"```python\n# churn.py\n(.*?)```", PAGE, re.DOTALL)[1])
    exec(compile(path.read_text(), path, "exec"), {"__name__": "churn"})
    spec = yaml.safe_load((tmp_path / "churn.yaml").read_text())
    assert set(spec["root"]["dag"]["tasks"]) == {"load-dataset", "retrieve-features", "split-dataset"}
