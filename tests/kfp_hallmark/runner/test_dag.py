import re
import xml.etree.ElementTree as ElementTree

from hypothesis import given
from hypothesis import strategies as st

from kfp_hallmark.runner.dag import BOX_HEIGHT, BOX_WIDTH, Node, draw, reduce_edges


@st.composite
def graphs(draw_from):
    """Keys in order, each with some of those before it."""
    count = draw_from(st.integers(1, 9))
    keys = [f"n{index}" for index in range(count)]
    return {key: frozenset(draw_from(st.sets(st.sampled_from(keys[:i]))) if i else ()) for i, key in enumerate(keys)}


def reachable(needs, key):
    return set(needs[key]).union(*(reachable(needs, needed) for needed in needs[key]))


def boxes(svg):
    """Return the left and top of every box."""
    rects = re.findall(rf'<rect x="([\d.-]+)" y="([\d.-]+)" width="{BOX_WIDTH}" height="{BOX_HEIGHT}"', svg)
    return [(float(x), float(y)) for x, y in rects]


@given(graphs())
def test_fewer_edges_reach_as_far(needs):
    reduced = reduce_edges(needs)
    for key, edges in reduced.items():
        assert reachable(reduced, key) == reachable(needs, key)
        assert all(needed not in reachable(needs, other) for needed in edges for other in edges)


def test_an_edge_that_a_longer_way_makes_needless_is_left_out():
    needs = {"a": frozenset(), "b": frozenset("a"), "c": frozenset("ab")}
    assert reduce_edges(needs) == {"a": frozenset(), "b": frozenset("a"), "c": frozenset("b")}


@given(graphs())
def test_boxes_never_overlap_and_lie_below_what_they_need(needs):
    svg = draw([Node(key, key, needs=edges) for key, edges in needs.items()], "a graph")
    ElementTree.fromstring(svg)
    places = boxes(svg)
    assert len(places) == len(needs)
    for index, (x, y) in enumerate(places):
        for other_x, other_y in places[index + 1 :]:
            assert abs(x - other_x) >= BOX_WIDTH or abs(y - other_y) >= BOX_HEIGHT
    labels = re.findall(r'font-weight:600">(n\d)<', svg)
    tops = dict(zip(labels, (y for _, y in places), strict=True))
    assert all(tops[key] > tops[needed] for key, edges in needs.items() for needed in edges)


def test_what_it_says_is_escaped():
    svg = draw([Node("a", "<a>", "b & c", link="logs/a.log")], "one & only")
    ElementTree.fromstring(svg)
    assert "&lt;a&gt;" in svg
    assert "b &amp; c" in svg
    assert '<a href="logs/a.log">' in svg


def test_branches_are_labelled_and_what_did_not_run_is_dim():
    nodes = [
        Node("a", "a"),
        Node("b", "b", needs=frozenset("a"), entry="release"),
        Node("c", "c", needs=frozenset("a"), entry="halt", dim=True),
        Node("d", "d", needs=frozenset("bc"), final=True),
    ]
    svg = draw(nodes, "branches")
    assert ">release</text>" in svg
    assert ">halt</text>" in svg
    assert svg.count("<g opacity") == 1
    assert svg.count('stroke-dasharray="4 4"') == 2
