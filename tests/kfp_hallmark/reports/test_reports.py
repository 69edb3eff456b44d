"""Report parts: everything given is escaped, and every number can be shown."""

import math
import re
from xml.etree import ElementTree

import pytest

from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.reports import (
    Markup,
    badge,
    bars,
    check_table,
    code,
    facts,
    figure,
    intervals,
    lines,
    number,
    page,
    paragraph,
    points,
    section,
    sparkline,
    table,
    verdict_facts,
)

UGLY = "<script>alert('1')</script> & \"x\" é🎉"
SAFE = "&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt; &amp; &quot;x&quot; é🎉"
CHECK = Check(UGLY, Status.FAIL, observed=0.5, scope={"feature": UGLY}, message=UGLY)


@pytest.mark.parametrize(
    "part",
    [
        badge(UGLY),
        code(UGLY),
        paragraph(UGLY),
        facts({UGLY: UGLY}),
        table([UGLY], [[UGLY]]),
        figure(Markup(""), UGLY),
        section(UGLY, UGLY),
        check_table([CHECK]),
        verdict_facts(Verdict("gate", {UGLY: "sha256:" + "1" * 64}, [CHECK])),
        page(UGLY, UGLY, status=UGLY, lead=UGLY),
        bars(UGLY, [(UGLY, 1.0)]),
        intervals(UGLY, [(UGLY, 1.0, (0.5, 1.5), "pass")]),
        lines(UGLY, [(UGLY, [0, 1], [0, 1])], UGLY, UGLY),
        points(UGLY, [(UGLY, [(0.5, 0.5)])], UGLY),
        sparkline(UGLY, [1, 2]),
    ],
    ids=lambda part: re.sub(r"\W+", " ", part[:30]).strip(),
)
def test_everything_given_is_escaped(part):
    assert "<script" not in part
    assert SAFE in part


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "n/a"),
        (math.nan, "n/a"),
        (-math.inf, "n/a"),
        (0.0, "0"),
        (0.123456, "0.1235"),
        (1234.0, "1,234"),
        (1234.56, "1,235"),
        (123456.7, "123,457"),
        (1e-12, "1e-12"),
        (1e300, "1e+300"),
        (2**53 + 1, "9,007,199,254,740,993"),
    ],
)
def test_a_number_is_short_and_readable(value, shown):
    assert number(value) == shown


@pytest.mark.parametrize("value", [0.0, -1.0, 1e-300, 1e300, math.nan, math.inf, None])
def test_a_chart_of_any_value_is_well_formed(value):
    known = 0.0 if value is None else value
    charts = [
        bars("t", [("a", known), ("b", 0.5)], [0.1]),
        intervals("t", [("a", value, (value, value), ""), ("b", 0.5, (0.1, 0.9), "pass")], [0.2], [0.3, 0.4]),
        bars("t", []),
        intervals("t", []),
    ]
    for chart in charts:
        ElementTree.fromstring(chart)
        assert "nan" not in chart
        assert "inf" not in chart


def test_the_bars_of_a_sparkline_are_as_high_as_their_counts():
    chart = sparkline("t", [1, 4, 0])
    heights = [float(bar.attrib["height"]) for bar in ElementTree.fromstring(chart).iter("rect")]
    assert heights == [5, 20, 0]
    for empty in ([], [0, 0]):
        ElementTree.fromstring(sparkline("t", empty))


def test_a_long_label_keeps_its_ends():
    name = "income_" + "x" * 60 + "_last_year"
    chart = bars("t", [(name, 1.0), ("demographic parity difference", 2.0)])
    assert re.search("income_x+…x*_last_year<", chart)
    assert "demographic parity difference" in chart
    assert name not in chart


def test_the_value_is_drawn_over_the_limit():
    chart = bars("t", [("a", 0.24)], [0.25])
    assert chart.index('class="limit"') < chart.index(">0.24<")


def test_a_limit_and_an_interval_stay_on_one_line():
    found = check_table([Check("roc_auc", Status.PASS, 0.9, minimum=0.88, maximum=1, interval=(0.89, 0.92))])
    limit = '<span class="word">≥ 0.88</span> and <span class="word">≤ 1</span>'
    assert f"<td>{limit}</td>" in found
    assert '<td><span class="word">0.89 to 0.92</span></td>' in found


def test_the_diagonal_keeps_its_slope_where_the_axes_end_at_different_values():
    """From (0, 0) to (0.8, 0.8), on axes of 360 units that end at 0.8 and at 1."""
    chart = lines("t", [("s", [0.1, 0.8], [0.1, 1.0])], "x", "y", diagonal=True)
    assert '<line class="diagonal" x1="60.0" y1="370.0" x2="420.0" y2="82.0"/>' in chart


def test_a_curve_shows_the_intervals_of_its_points():
    chart = lines("t", [("s", [0.0, 1.0], [0.2, 0.5])], "x", "y", spans=[(0.1, 0.3), (0.4, 1.0)])
    assert chart.count('class="whisker"') == 2
    assert '<line class="whisker" x1="420.0" x2="420.0" y1="226.0" y2="10.0"/>' in chart


def test_the_vertical_axis_leaves_room_for_its_numbers():
    chart = lines("t", [("s", [0.0, 1.0], [0.0, 0.00213])], "x", "a measure")
    assert ">0.0005</text>" in chart
    assert '<text class="soft" x="66" y="374.0" text-anchor="end">0</text>' in chart


def test_what_is_counted_has_whole_ticks():
    def ticks(xs):
        chart = lines("t", [("s", xs, [0.0] * len(xs))], "x", "y")
        return re.findall(r'y="387" text-anchor="middle">([^<]+)<', chart)

    assert ticks([0, 12]) == ["0", "5", "10", "15"]
    assert ticks([0, 1, 2]) == ["0", "1", "2"]
    assert ticks([0.0, 12.0]) == ["0", "2.5", "5", "7.5", "10", "12.5"]


@pytest.mark.parametrize("ends", [(0.0, math.nan), (math.nan, math.nan), (-math.inf, math.inf), (0.0, math.inf)])
def test_an_interval_without_finite_ends_draws_no_nan(ends):
    drawn = intervals(
        "title", [("beyond", 5e198, ends, "fail"), ("known", 0.2, (0.1, 0.3), "")], item_limits=[1.0, 0.3]
    )
    assert "nan" not in drawn and "inf" not in drawn
    assert "beyond" in drawn and 'class="whisker "' in drawn
