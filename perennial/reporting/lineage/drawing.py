"""The graph as SVG: columns from left to right, boxes that are links, lines between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape

from perennial.reporting.lineage.graph import Graph, Node

_WIDTH, _GAP_X, _GAP_Y, _EDGE = 168, 30, 14, 12
_TITLE, _LINE, _PAD = 18, 15, 9
_HEAD = 30
_CHARACTERS = 23  # of a line in a box
_TITLE_CHARACTERS = 19


def draw(graph: Graph) -> str:
    """The graph as one SVG element, styled by the page's classes."""
    places = _places(graph)
    width = len(graph.heads) * (_WIDTH + _GAP_X) - _GAP_X + 2 * _EDGE
    height = max(y + _height(node) for node in graph.nodes for _, y in [places[node.key]]) + _EDGE
    heads = (
        f'<text class="head" x="{_EDGE + column * (_WIDTH + _GAP_X) + _WIDTH / 2:g}" y="16">{escape(head)}</text>'
        for column, head in enumerate(graph.heads)
    )
    return "\n".join(
        [
            f'<svg viewBox="0 0 {width} {height:g}" role="img" aria-label="From files to predictions">',
            *heads,
            *_lines(graph, places),
            *(_box(node, *places[node.key]) for node in graph.nodes),
            "</svg>",
        ]
    )


def _places(graph: Graph) -> dict[str, tuple[float, float]]:
    """Where each box stands: columns centred on one line, boxes in the order of the graph."""
    columns: dict[int, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        columns[node.column].append(node)
    heights = {column: _tall(nodes) for column, nodes in columns.items()}
    highest = max(heights.values())
    places = dict[str, tuple[float, float]]()
    for column, nodes in columns.items():
        y = _HEAD + (highest - heights[column]) / 2
        for node in nodes:
            places[node.key] = (_EDGE + column * (_WIDTH + _GAP_X), y)
            y += _height(node) + _GAP_Y
    return places


def _tall(nodes: Sequence[Node]) -> float:
    return sum(_height(node) + _GAP_Y for node in nodes) - _GAP_Y


def _height(node: Node) -> float:
    return 2 * _PAD + _TITLE + _LINE * len(node.lines) - 3


def _lines(graph: Graph, places: Mapping[str, tuple[float, float]]) -> list[str]:
    heights = {node.key: _height(node) for node in graph.nodes}
    drawn = []
    for start, end in graph.edges:
        (x1, y1), (x2, y2) = places[start], places[end]
        if x1 == x2:
            continue
        left, right = x1 + _WIDTH, x2
        top, bottom = y1 + heights[start] / 2, y2 + heights[end] / 2
        bend = (right - left) / 2
        drawn.append(
            f'<path class="way" d="M{left:g},{top:g} C{left + bend:g},{top:g} {right - bend:g},{bottom:g} '
            f'{right:g},{bottom:g}"/>'
        )
    return drawn


def _box(node: Node, x: float, y: float) -> str:
    whole = "\n".join([node.title, *node.lines])
    lines = "".join(
        f'<text class="line" x="{x + 14:g}" y="{y + _PAD + _TITLE + 11 + _LINE * place:g}">'
        f"{escape(_fitted(line, _CHARACTERS))}</text>"
        for place, line in enumerate(node.lines)
    )
    height = _height(node)
    return (
        f'<a href="#{node.section}" class="node {node.kind}"><title>{escape(whole)}</title>'
        f'<rect class="box" x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{height:g}" rx="7"/>'
        f'<rect class="bar" x="{x:g}" y="{y:g}" width="5" height="{height:g}" rx="2.5"/>'
        f'<text class="name" x="{x + 14:g}" y="{y + _PAD + 13:g}">{escape(_fitted(node.title, _TITLE_CHARACTERS))}'
        f"</text>{lines}</a>"
    )


def _fitted(text: str, most: int) -> str:
    """A text that fits, its middle left out: names of files differ at their ends."""
    plain = " ".join(text.split())
    if len(plain) <= most:
        return plain
    tail = most // 2
    return f"{plain[: most - tail - 1]}…{plain[-tail:]}"
