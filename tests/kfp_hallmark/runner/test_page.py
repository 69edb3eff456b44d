import re
from html.parser import HTMLParser
from typing import NamedTuple

import pytest


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if name in ("href", "src") and value != "data:,"]


@pytest.fixture
def page(run, pipelines, books):
    def make(**parameters):
        result, _ = run(pipelines.governed, books[0] | parameters)
        return result, result.page.read_text(encoding="utf-8")

    return make


def links(text):
    parser = Links()
    parser.feed(text)
    return parser.found


def test_every_link_leads_to_a_file_of_the_run(page):
    result, text = page()
    found = links(text)
    assert "reports/own_gate.html" in found
    assert "logs/fit.log" in found
    assert [link for link in found if not (result.directory / link).is_file()] == []


def test_a_release_says_what_was_registered(page):
    result, text = page()
    assert "Model small was registered as version 7." in text
    assert result.model["digest"] in text
    assert "Nothing stands against release." in text
    assert '<span class="badge pass">pass</span>' in text


def test_a_halt_says_why(page):
    result, text = page(score=0.2)
    assert "nothing was released, and the evidence is kept" in text
    assert result.decision["reasons"][0] in text
    assert '<span class="badge fail">halted</span>' in text


def test_a_failure_names_the_step_and_links_its_log(run, pipelines):
    result, _ = run(pipelines.stumbling)
    text = result.page.read_text(encoding="utf-8")
    assert "Failed: stumble." in text
    assert "RuntimeError: stumbled<br>" in text
    assert "logs/stumble.log" in links(text)


def test_parameters_are_escaped(page):
    _, text = page(note="<script>alert(1)</script>")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_an_outcome_of_the_users_own_is_escaped_and_takes_no_colour(run):
    from kfp import dsl

    from kfp_hallmark.component import component

    @component(environment="release")
    def conclude() -> NamedTuple("Outputs", [("status", str)]):
        return ('"><script>alert(1)</script>',)

    @dsl.pipeline(name="concluding")
    def concluding():
        conclude()

    text = run(concluding)[0].page.read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "stroke:var(--pass)" in text


def test_a_password_in_a_uri_is_kept_nowhere(run, pipelines):
    result, _ = run(pipelines.telling_uri, {"password": "s3cr@t"})
    assert result.steps[0].outputs["Output"] == "http://host/store"
    kept = [path for path in (result.directory / "run.json", result.page) if "bob:" in path.read_text()]
    assert kept == []


def test_a_metric_stands_beside_its_interval(run, pipelines):
    from kfp import dsl

    from kfp_hallmark.component import component

    @component(environment="release")
    def measure(metrics: dsl.Output[dsl.Metrics]):
        for name, value in {"auc": 0.75, "auc_low": 0.5, "auc_high": 0.875, "rows": 12}.items():
            metrics.log_metric(name, value)

    @dsl.pipeline(name="measured")
    def measured():
        measure()

    result, _ = run(measured)
    metrics = result.page.read_text(encoding="utf-8").partition("<h2>Metrics</h2>")[2]
    rows = re.findall(r"<tr><td>measure</td>(.*?)</tr>", metrics)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]
    assert cells == [["auc", "0.75", "0.5", "0.875"], ["rows", "12", "–", "–"]]
