"""Draw a run's steps as a graph: layers from top to bottom, each step below those that it needs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from kfp_hallmark.reports import Markup

BOX_WIDTH, BOX_HEIGHT = 176, 42
GAP_X, GAP_Y = 28, 40
_MARGIN = 14
_BEND_WIDTH = 20
"""The room that an edge gets where it passes a layer."""


@dataclass(frozen=True)
class Node:
    """A step as the graph shows it.

    Attributes:
        key: What edges name it by.
        label: Its name.
        detail: A second, softer line.
        colour: The class of its colour: `pass`, `warn`, `inconclusive`, `fail`, `none` or "".
        needs: The keys of the steps before it.
        entry: What stands on the edges that lead to it.
        link: Where a click leads; None for nowhere.
        final: Whether it runs in any case; its edges are dashed.
        dim: Whether it did not run.
    """

    key: str
    label: str
    detail: str = ""
    colour: str = ""
    needs: frozenset[str] = frozenset()
    entry: str = ""
    link: str | None = None
    final: bool = False
    dim: bool = False


@dataclass
class _Place:
    """A node, or a bend where an edge passes a layer."""

    width: float
    node: Node | None = None
    above: list[_Place] = field(default_factory=list)
    below: list[_Place] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0


def draw(nodes: Sequence[Node], title: str) -> Markup:
    """Return the graph as SVG.

    Args:
        nodes: The steps; those that a step needs come before it.
        title: What the graph shows, for those who cannot see it.
    """
    needs = reduce_edges({node.key: node.needs for node in nodes})
    layers, edges = _layers(nodes, needs)
    for _ in range(8):
        _order(layers[1:], lambda place: place.above)
        _order(layers[-2::-1], lambda place: place.below)
    width = _positions(layers)
    height = len(layers) * (BOX_HEIGHT + GAP_Y) - GAP_Y + 2 * _MARGIN
    body = [part for path in edges for part in _edge(path)]
    body += [_box(place) for layer in layers for place in layer if place.node is not None]
    return Markup(
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>{"".join(body)}</svg>'
    )


def reduce_edges(needs: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Return the edges without those that a longer way makes needless.

    Args:
        needs: Key to the keys before it; those that a key needs come before it.
    """
    before: dict[str, frozenset[str]] = {}
    reduced = {}
    for key, direct in needs.items():
        known = direct & before.keys()
        beyond = frozenset[str]().union(*(before[needed] for needed in known))
        reduced[key] = known - beyond
        before[key] = known | beyond
    return reduced


def _layers(
    nodes: Sequence[Node], needs: Mapping[str, frozenset[str]]
) -> tuple[list[list[_Place]], list[list[_Place]]]:
    """Put each node one layer below the lowest that it needs, and bends where an edge passes a layer."""
    depths: dict[str, int] = {}
    for node in nodes:
        depths[node.key] = 1 + max((depths[needed] for needed in needs[node.key]), default=-1)
    for node in nodes:
        if node.final:
            depths[node.key] = max(depths.values())
    layers: list[list[_Place]] = [[] for _ in range(max(depths.values(), default=0) + 1)]
    places = {}
    for node in nodes:
        places[node.key] = _Place(BOX_WIDTH, node)
        layers[depths[node.key]].append(places[node.key])
    edges = []
    for node in nodes:
        for needed in sorted(needs[node.key]):
            passed = range(depths[needed] + 1, depths[node.key])
            bends = [_Place(_BEND_WIDTH) for _ in passed]
            for layer, bend in zip(passed, bends, strict=True):
                layers[layer].append(bend)
            path = [places[needed], *bends, places[node.key]]
            for upper, lower in itertools.pairwise(path):
                upper.below.append(lower)
                lower.above.append(upper)
            edges.append(path)
    return layers, edges


def _order(layers: Sequence[list[_Place]], neighbours: Callable[[_Place], list[_Place]]) -> None:
    """Sort each layer by the middle of what its places are joined to, which leaves few crossings."""
    for layer in layers:
        ranks = {}
        for index, place in enumerate(layer):
            joined = neighbours(place)
            ranks[id(place)] = sum(other.x for other in joined) / len(joined) if joined else place.x or index
        layer.sort(key=lambda place: ranks[id(place)])
        _spread(layer)


def _spread(layer: list[_Place]) -> float:
    """Give the places of a layer their x, side by side around zero; return the width."""
    width = sum(place.width for place in layer) + GAP_X * (len(layer) - 1)
    x = -width / 2
    for place in layer:
        place.x = x + place.width / 2
        x += place.width + GAP_X
    return width


def _positions(layers: list[list[_Place]]) -> float:
    """Move places towards what they are joined to as far as their neighbours allow; return the graph's width."""
    for sweep in range(12):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = []
            for place in layer:
                joined = place.above + place.below
                wanted.append(sum(other.x for other in joined) / len(joined) if joined else place.x)
            _settle(layer, wanted)
    left = min(place.x - place.width / 2 for layer in layers for place in layer)
    right = max(place.x + place.width / 2 for layer in layers for place in layer)
    for depth, layer in enumerate(layers):
        for place in layer:
            place.x += _MARGIN - left
            place.y = _MARGIN + depth * (BOX_HEIGHT + GAP_Y)
    return right - left + 2 * _MARGIN


def _settle(layer: list[_Place], wanted: list[float]) -> None:
    """Bring the places of a layer as near to where they want to be as leaves them apart (pool adjacent violators)."""
    offsets = [0.0]
    for left, right in itertools.pairwise(layer):
        offsets.append(offsets[-1] + (left.width + right.width) / 2 + GAP_X)
    pools: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        total, count = want - offset, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            total, count = total + pools[-1][0], count + pools[-1][1]
            pools.pop()
        pools.append((total, count))
    starts = [total / count for total, count in pools for _ in range(count)]
    for place, start, offset in zip(layer, starts, offsets, strict=True):
        place.x = start + offset


def _edge(path: list[_Place]) -> list[str]:
    """Return an edge, straight down through its bends, with its label where it arrives."""
    first, last = path[0], path[-1]
    node = last.node
    assert node is not None
    x, y = first.x, first.y + BOX_HEIGHT
    line = f"M{x:.1f} {y:.1f}"
    for place in path[1:]:
        middle = (y + place.y) / 2
        line += f" C{x:.1f} {middle:.1f} {place.x:.1f} {middle:.1f} {place.x:.1f} {place.y:.1f}"
        x, y = place.x, place.y
        if place.node is None:
            y += BOX_HEIGHT
            line += f" L{x:.1f} {y:.1f}"
    dashed = ' stroke-dasharray="4 4"' if node.final else ""
    faded = ' opacity="0.55"' if node.dim else ""
    parts = [
        f'<path d="{line}" style="fill:none;stroke:var(--none);stroke-width:1.4"{dashed}{faded}/>',
        f'<path d="M{x - 4:.1f} {y - 6:.1f} L{x:.1f} {y:.1f} L{x + 4:.1f} {y - 6:.1f}" '
        f'style="fill:none;stroke:var(--none);stroke-width:1.4"{faded}/>',
    ]
    if node.entry:
        side, anchor = (-9, "end") if path[-2].x > x else (9, "start")
        parts.append(
            f'<text class="soft" x="{x + side:.1f}" y="{y - 9:.1f}" text-anchor="{anchor}" style="font-style:italic">'
            f"{escape(_short(node.entry, 26))}</text>"
        )
    return parts


def _box(place: _Place) -> str:
    node = place.node
    assert node is not None
    left, top = place.x - BOX_WIDTH / 2, place.y
    colour = f"var(--{node.colour or 'rule'})"
    dashed = ";stroke-dasharray:4 3" if node.dim else ""
    inner = (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" '
        f'style="fill:var(--panel);stroke:{colour};stroke-width:1.4{dashed}"/>'
        f'<rect x="{left:.1f}" y="{top + 7:.1f}" width="4" height="{BOX_HEIGHT - 14}" rx="2" style="fill:{colour}"/>'
        f'<text x="{left + 14:.1f}" y="{top + 18:.1f}" style="font-weight:600">{escape(_short(node.label, 23))}</text>'
        f'<text class="soft" x="{left + 14:.1f}" y="{top + 34:.1f}">{escape(_short(node.detail, 26))}</text>'
    )
    faded = ' opacity="0.6"' if node.dim else ""
    group = f"<g{faded}>{inner}</g>"
    return group if node.link is None else f'<a href="{escape(node.link)}">{group}</a>'


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
