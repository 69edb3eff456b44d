"""The run's page and a report, opened in headless Chromium: whole, quiet, and nothing fetched from elsewhere."""

import html
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
        # So that the logs of a page have those of the sandboxed frames in it.
        "--disable-features=IsolateSandboxedIframes",
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


@pytest.mark.parametrize("platform", ["local"], indirect=True, scope="session")
def test_page_of_a_halted_run(browser, halted):
    shows_the_run(browser, halted)


@pytest.mark.parametrize("platform", ["local"], indirect=True, scope="session")
def test_links_on_the_run_page_lead_somewhere(browser, halted):
    visit(browser, halted.folder / "index.html")
    links = [element.get_dom_attribute("href") for element in browser.find_elements("css selector", "a[href]")]
    assert len(links) > len(halted.document["verdicts"])
    for link in links:
        assert (halted.folder / unquote(link)).exists(), link


@pytest.fixture
def framed(tmp_path):
    """A page that shows HTML as those of Kubeflow Pipelines do: in a sandbox with scripts and an origin of its own."""

    def framed(content):
        page = tmp_path / "page.html"
        frame = f'<iframe sandbox="allow-scripts" width="1000" height="900" srcdoc="{html.escape(content)}"></iframe>'
        page.write_text(f"<!DOCTYPE html><meta charset=utf-8><title>A run</title>{frame}", encoding="utf-8")
        return page

    return framed


def everything_asked(browser, page):
    """Open a page; return what it and all frames in it asked for, but the page itself, and what was logged."""
    for log in ("performance", "browser"):
        browser.get_log(log)
    browser.get(page.as_uri())
    browser.switch_to.frame(0)
    own = (page.as_uri(), "about:srcdoc")
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent" and message["params"]["documentURL"] in own
    ]
    return [url for url in asked if url not in own], browser.get_log("browser")


def test_what_is_fetched_or_logged_in_a_frame_would_be_noticed(browser, framed):
    page = framed('<h1>A report</h1><img src="https://elsewhere.invalid/x.png"><script>localStorage.length</script>')
    asked, logged = everything_asked(browser, page)
    assert "https://elsewhere.invalid/x.png" in asked
    assert any("sandboxed" in entry["message"] for entry in logged)


@pytest.mark.parametrize("platform", ["local"], indirect=True, scope="session")
def test_every_report_shows_in_a_sandboxed_frame(browser, framed, halted):
    reports = sorted((halted.folder / "reports").iterdir())
    assert len(reports) == 10
    for report in reports:
        content = report.read_text(encoding="utf-8")
        asked, logged = everything_asked(browser, framed(content))
        assert ([url for url in asked if not url.startswith("data:")], logged) == ([], [])
        assert browser.find_element("tag name", "h1").is_displayed()
        drawn = browser.find_elements("css selector", "svg, table")
        assert drawn and all(element.rect["height"] > 0 for element in drawn if element.is_displayed())
        assert any(element.is_displayed() for element in drawn), report
        wide = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, report
    browser.switch_to.default_content()


@pytest.mark.parametrize("platform", ["local"], indirect=True, scope="session")
def test_every_report_is_self_contained(browser, halted):
    reports = sorted((halted.folder / "reports").iterdir())
    assert {report.stem for report in reports} == {
        "decide_release",
        "evaluate_model",
        "explain_model",
        "explanation_gate",
        "fairness_gate",
        "performance_gate",
        "privacy_gate",
        "robustness_gate",
        "validate_dataset",
        "write_model_card",
    }
    for report in reports:
        assert is_self_contained(browser, report)
        assert browser.find_element("tag name", "h1").text
