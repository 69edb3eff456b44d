"""Rules as a whole, what they are held against, and the page on them."""

import re
from dataclasses import replace

import pytest
import yaml
from kfp import dsl

from kfp_hallmark import lint
from kfp_hallmark.errors import InputError
from kfp_hallmark.lint.page import page
from kfp_hallmark.lint.rule import Problem, Severity


@dsl.component(base_image="python")
def unfixed(status: dsl.PipelineTaskFinalStatus):
    print(status)


@dsl.component(base_image="python:3.11")
def fixed(text: str) -> str:
    return text


@dsl.pipeline
def mixed():
    with dsl.ExitHandler(unfixed()):
        fixed(text="a")


@pytest.fixture
def spec(compiled):
    return lint.parse(yaml.safe_dump_all(compiled(mixed)), "mixed.yaml")


def test_every_module_holds_one_rule_with_its_own_code(root):
    modules = [path for path in (root / "kfp_hallmark" / "lint" / "rules").glob("*.py") if path.stem != "__init__"]
    rules = lint.all_rules()
    assert sorted(rule.name.replace("-", "_") for rule in rules) == sorted(path.stem for path in modules)
    assert len({rule.code for rule in rules}) == len(rules) >= 30


@pytest.mark.parametrize("rule", lint.all_rules(), ids=lambda rule: rule.code)
def test_every_rule_is_told_in_full(rule):
    assert re.fullmatch(r"HM[0-5]\d\d", rule.code)
    assert rule.summary.endswith(".")
    assert rule.fix.endswith(".")
    assert not rule.explanation or rule.explanation.endswith(".")
    assert rule.source.startswith("https://")
    assert rule.backends
    assert set(rule.backends) <= set(lint.BACKENDS)
    assert rule.below is None or rule.backends == (lint.KUBEFLOW,)


def test_every_rule_has_a_test(root):
    text = (root / "tests" / "kfp_hallmark" / "lint" / "test_rules.py").read_text()
    assert [rule.code for rule in lint.all_rules() if f'"{rule.code}"' not in text] == []


def test_the_page_links_to_every_section():
    text = page()
    for anchor in re.findall(r"\(#([^)]+)\)", text):
        assert f"\n### {anchor.upper()[:5]} {anchor[6:]}\n" in text


def test_findings_say_where(spec, root):
    by_code = {finding.rule.code: finding for finding in lint.check(spec)}
    finding = by_code["HM501"]
    assert finding.place == "exec-unfixed"
    assert finding.path == "deploymentSpec.executors.exec-unfixed.container.image"
    assert finding.detail == "python"
    assert finding.affected == "Kubeflow, Vertex AI, Docker"
    text = yaml.safe_dump(spec.documents[0]).splitlines()
    assert text[finding.line - 1].strip() == "image: python"


def test_findings_are_in_the_order_of_the_file(spec):
    lines = [finding.line for finding in lint.check(spec)]
    assert lines == sorted(lines)
    assert len(lines) == 2


def test_only_versions_that_are_asked_for_count(spec):
    def codes(*versions):
        target = lint.Target((lint.KUBEFLOW,), tuple(map(lint.version, versions)))
        return {finding.rule.code for finding in lint.check(spec, target)}

    assert "HM104" not in codes("2.14")
    assert "HM104" in codes("2.5")
    assert "HM104" in codes("2.5", "2.17")


def test_only_backends_that_are_asked_for_are_named(spec):
    (finding,) = lint.check(spec, lint.Target(("docker", "local")), lint.chosen(["HM501"]))
    assert finding.affected == "Docker"
    assert lint.check(spec, lint.Target(("local",)), lint.chosen(["HM501"])) == []


def test_what_no_version_that_is_asked_for_has_is_told_of_other_backends(spec):
    rule = replace(next(iter(lint.chosen(["HM501"]))), check=lambda spec: [Problem((), "x", since=(2, 14))])
    old = lint.Target((lint.KUBEFLOW, "vertex"), (lint.version("2.5"),))
    assert [finding.affected for finding in lint.check(spec, old, [rule])] == ["Vertex AI"]
    assert [finding.affected for finding in lint.check(spec, lint.Target(), [rule])] == [
        "Kubeflow from 2.14 on, Vertex AI, Docker"
    ]


def test_what_a_spec_is_meant_for(spec):
    assert lint.meant_for(spec).backends == ("kubeflow", "vertex", "local", "docker")
    documents = [*spec.documents, {"platforms": {"kubernetes": {"deploymentSpec": {}}}}]
    other = lint.parse(yaml.safe_dump_all(documents), "other.yaml")
    assert lint.meant_for(other).backends == ("kubeflow", "local", "docker")


def test_rules_by_code():
    assert [rule.code for rule in lint.chosen(["HM502", "HM101"])] == ["HM101", "HM502"]
    assert "HM101" not in [rule.code for rule in lint.chosen(ignore=["HM101"])]
    with pytest.raises(InputError, match=r"--select must be codes of rules; got 'HM011'.") as raised:
        lint.chosen(["HM011"])
    assert raised.value.hint.startswith("Did you mean 'HM")
    with pytest.raises(InputError, match="--ignore must be"):
        lint.chosen(ignore=["x"])


@pytest.mark.parametrize("text", ["2", "2.18", "3.0", "1.8", "2.x", "2.-1", "", "2.14.1", "2.²"])
def test_versions_that_are_none(text):
    with pytest.raises(InputError, match=r"--version must be from 2\.0 to 2\.17"):
        lint.version(text)


def test_versions():
    assert lint.version("2.0") == (2, 0)
    assert lint.version("2.17") == (2, 17)


def test_since_and_below_are_both_sides_of_a_fact():
    problem = Problem((), "x", since=(2, 5), below=(2, 15))
    assert [minor for minor in range(18) if problem.affects((2, minor))] == list(range(5, 15))


def test_errors_come_before_warnings():
    assert list(Severity) == [Severity.ERROR, Severity.WARNING]


def test_what_a_spec_says_cannot_command_a_terminal(spec):
    spec.pipeline["deploymentSpec"]["executors"]["exec-unfixed"]["container"]["image"] = "a\x1b[2J\nb" + "c" * 300
    (finding,) = lint.check(spec, rules=lint.chosen(["HM501"]))
    assert finding.detail.isprintable()
    assert len(finding.detail) == 200
    assert finding.detail.startswith("a\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}bc")


def test_what_is_committed_has_no_errors(root):
    files = sorted((root / "compiled").rglob("*.yaml"))
    assert len(files) >= 15
    for file in files:
        findings = lint.check(lint.read(file))
        assert [finding for finding in findings if finding.rule.severity == Severity.ERROR] == [], file
        assert {finding.rule.code for finding in findings} <= {"HM502"}, file
