"""The examples in docs/contracts are what the contracts' readers take."""

import json
import re
from pathlib import Path

import pytest
import yaml

from kfp_hallmark.contracts import audit, decision, digest, registration, release, verdict

PAGES = Path(__file__).resolve().parents[3] / "docs" / "contracts"


def example(page, language="json"):
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    return re.search(rf"## Example\n.*?```{language}\n(.*?)```", text, re.DOTALL)[1]


@pytest.mark.parametrize(
    ("page", "read"),
    [
        ("verdict", verdict.Verdict.read),
        ("registration", registration.Registration.read),
        ("release", release.Release.read),
        ("audit_log", audit.records),
    ],
)
def test_a_documents_example_is_read(tmp_path, page, read):
    (tmp_path / "example").write_text(example(page), encoding="utf-8")
    assert read(tmp_path / "example")


def test_the_decisions_example_is_read(tmp_path):
    (tmp_path / "decision.json").write_text(example("decision"), encoding="utf-8")
    assert decision.Decision.read(tmp_path).released


def test_the_digests_example_adds_up():
    value = json.loads(example("digest"))
    assert digest.Manifest(value["files"]).digest == value["digest"]


def test_the_examples_are_of_one_model():
    model = json.loads(example("digest"))["digest"]
    said = yaml.safe_load(example("model", "yaml"))["metadata"]["hallmark"]
    assert json.loads(example("verdict"))["subjects"]["model"] == model
    assert json.loads(example("predictions"))["model"] == model
    assert json.loads(example("decision"))["model"]["digest"] == model
    assert json.loads(example("decision"))["lineage"]["datasets"] == said["datasets"]
    assert json.loads(example("dataset"))["lineage"] == said["datasets"][1:]


@pytest.mark.parametrize(
    ("page", "schema"),
    [
        ("verdict", verdict.SCHEMA),
        ("decision", decision.SCHEMA),
        ("registration", registration.SCHEMA),
        ("release", release.SCHEMA),
        ("audit_log", audit.SCHEMA),
    ],
)
def test_a_page_names_its_schema_and_every_field(page, schema):
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    before = text[: text.index("## Example")]
    assert schema in before
    fields = set(json.loads(example(page))) - {"schema"}
    assert {field for field in fields if f"`{field}`" not in before} == set()


def test_every_page_is_in_the_list():
    listed = set(re.findall(r"\]\((\w+)\.md\)", (PAGES / "README.md").read_text(encoding="utf-8")))
    assert listed == {path.stem for path in PAGES.glob("*.md")} - {"README"}
