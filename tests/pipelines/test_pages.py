"""The run's page and a report, opened in headless Chromium: whole, quiet, and nothing fetched from elsewhere."""

import json
import shutil
from urllib.parse import unquote

import pytest

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or "chromium"
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver") or "chromedriver"))
    yield driver
    driver.quit()


def visit(browser, path):
    """Open a file; return the addresses that it asked for, its own among them, and what was logged."""
    for log in ("performance", "browser"):
        browser.get_log(log)
    browser.get(path.as_uri())
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent" and message["params"]["documentURL"] == path.as_uri()
    ]
    return asked, browser.get_log("browser")


def is_self_contained(browser, path):
    asked, logged = visit(browser, path)
    assert asked, "the browser must have asked for the page itself"
    assert [url for url in asked if url != path.as_uri() and not url.startswith("data:")] == []
    assert logged == []
    return True


def test_what_is_fetched_or_logged_would_be_noticed(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text('<h1>A page</h1><img src="https://elsewhere.invalid/x.png"><script>console.error("no")</script>')
    asked, logged = visit(browser, page)
    assert asked == [page.as_uri(), "https://elsewhere.invalid/x.png"]
    assert any("no" in entry["message"] for entry in logged)


def shows_the_run(browser, run):
    assert is_self_contained(browser, run.folder / "index.html")
    text = browser.find_element("tag name", "body").text
    for step in run.document["steps"]:
        assert step["name"] in text
    for reason in run.document["decision"]["reasons"]:
        assert reason in text


def test_page_of_a_released_run(browser, released):
    shows_the_run(browser, released)


def test_page_of_a_halted_run(browser, halted):
    shows_the_run(browser, halted)


def test_links_on_the_run_page_lead_somewhere(browser, halted):
    visit(browser, halted.folder / "index.html")
    links = [element.get_dom_attribute("href") for element in browser.find_elements("css selector", "a[href]")]
    assert len(links) > len(halted.document["verdicts"])
    for link in links:
        assert (halted.folder / unquote(link)).exists(), link


def test_every_report_is_self_contained(browser, halted):
    reports = sorted((halted.folder / "reports").iterdir())
    assert {report.stem for report in reports} == {
        "decide_release",
        "evaluate_model",
        "explain_model",
        "fairness_gate",
        "performance_gate",
        "validate_dataset",
    }
    for report in reports:
        assert is_self_contained(browser, report)
        assert browser.find_element("tag name", "h1").text
