from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.reports.document import (
    Bars,
    Bullets,
    Facts,
    Shape,
    Table,
    Text,
    Unsaid,
    html_document,
    markdown_document,
    verdict_parts,
)

DIGEST = "sha256:" + "a" * 64


def both(*parts, **settings):
    sections = [("Part <1>", parts)]
    return html_document("T & co", "Lead.", sections, **settings), markdown_document("T & co", "Lead.", sections)


def test_title_lead_and_headings():
    html, markdown = both(Text("a < b"), status="halt")
    assert '<h1>T &amp; co <span class="badge fail">halt</span></h1>' in html
    assert "<h2>Part &lt;1&gt;</h2><p>a &lt; b</p>" in html
    assert markdown == "# T &amp; co\n\nLead.\n\n## Part &lt;1&gt;\n\na &lt; b\n"


def test_facts():
    html, markdown = both(Facts({"who": "a_b", "what": ["x", "y*"], "digest": DIGEST, "why": Unsaid("the <reason>")}))
    assert "<dt>who</dt><dd>a_b</dd>" in html
    assert "<dd><ul><li>x</li><li>y*</li></ul></dd>" in html
    assert f"<dd><code>{DIGEST}</code></dd>" in html
    assert '<span class="badge warn">not said</span> <span class="note">the &lt;reason&gt;</span>' in html
    assert "- **who**: a\\_b\n- **what**: \n  - x\n  - y\\*\n" in markdown
    assert markdown.endswith("- **why**: **Not said** (the &lt;reason&gt;)\n")


def test_tables():
    html, markdown = both(
        Table(["Name", "Rows", "Shape"], [["a|b", 12345, Shape([1, 0, 8])], [Status.WARN, None, "x"]])
    )
    assert '<td class="number">12,345</td>' in html
    assert html.count('<rect class="mark"') == 3
    assert '<span class="badge warn">warn</span>' in html
    assert "| a\\|b | 12,345 | ▂▁█ |\n| warn | – | x |" in markdown


def test_a_shape_of_nothing_is_flat():
    assert "| ▁▁ |" in both(Table(["x"], [[Shape([0, 0])]]))[1]


def test_lists_and_bars():
    html, markdown = both(Bullets(["- a"]), Bars(["Name", "Weight"], [("x", 0.25)]))
    assert "<ul><li>- a</li></ul>" in html
    assert "<figure><svg" in html
    assert "- \\- a\n\n| Name | Weight |\n| --- | --- |\n| x | 0.25 |" in markdown


def test_a_verdict_tells_the_worst_first_and_how_many_more():
    checks = [Check("fine", Status.PASS), Check("psi", Status.FAIL, 0.4, maximum=0.25, scope={"feature": "a"})]
    verdict = Verdict("some_gate", {"dataset": DIGEST}, checks, created="2026-11-21T05:40:00Z")
    heading, table, rest = verdict_parts(verdict, 1)
    assert heading == Text("some_gate, of 2026-11-21T05:40:00Z:")
    assert table.rows == [[Status.FAIL, "psi", "feature a", "0.4", "≤ 0.25"]]
    assert rest == Text("1 more checks, none of them worse, are in the verdict.")
    assert len(verdict_parts(verdict, 2)) == 2
