# SPDX-License-Identifier: Apache-2.0
"""Draws the end of a graph as SVG: kept and removed operations, and the truncated outputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from hpip.graph.operation import PARAMETER, Operation
from hpip.graph.program import INPUT, OUTPUT, Program

_LEVELS_ABOVE = 3
_LINE, _CHARACTER, _GAP_X, _GAP_Y, _MARGIN = 15, 6.6, 24, 46, 30
_MOST_NAMES, _MOST_PER_ROW = 5, 9
_HIDDEN = frozenset(
    {PARAMETER, OUTPUT, "pd_op.full", "pd_op.full_int_array", "pd_op.assign_value_"}
)
_STYLE = """
text { font: 11px monospace; fill: #222 }
.kept rect { fill: #dcebfa; stroke: #3c78b4 }
.gone rect { fill: #f1f1f1; stroke: #999; stroke-dasharray: 4 3 }
.gone text { fill: #777 }
.input rect, .output rect { fill: #fff7d6; stroke: #b49a3c }
path { fill: none; stroke: #888 }
path.cut { stroke: #c8281e; stroke-width: 2.5 }
text.cut { fill: #c8281e; font-weight: bold }
"""


@dataclass(eq=False)
class _Node:
    """A chain of operations that is drawn as one box."""

    kind: str
    lines: list[str]
    above: list[_Node] = field(default_factory=list)
    level: int = 0
    column: float = 0.0
    x: float = 0.0
    y: float = 0.0

    @property
    def size(self) -> tuple[float, float]:
        width = max(len(line) for line in self.lines) * _CHARACTER + 16
        return width, len(self.lines) * _LINE + 9


def draw_truncation(program: Program, truncated: Program, title: str) -> str:
    """Draw the end of a graph, with the values marked that the truncated graph returns.

    Constants are omitted, chains of operations are drawn as one box, and a loop or branch is one
    operation.

    Args:
        program: the original graph.
        truncated: the truncated graph.
        title: title of the drawing.

    Returns:
        An SVG document.
    """
    graph = _Graph(program, truncated)
    rows = _rows(graph.nodes)
    width = _place(rows)
    bottom = max(node.y + node.size[1] for node in graph.nodes)
    edges = [(node, other) for node in graph.nodes for other in node.above]
    truncated_edges = [pair for pair in edges if _is_truncated(*pair, graph.truncated_names)]
    body = [_edge(*pair, "cut" if pair in truncated_edges else "") for pair in edges]
    body += [_box(node) for node in graph.nodes]
    body += [
        _label(node, graph.truncated_names)
        for node in dict.fromkeys(above for _, above in truncated_edges)
    ]
    legend = (
        f"{title}: blue operations are kept, grey ones removed; red: truncated graph's outputs; "
        "yellow: inputs and outputs of the original graph"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" '
        f'height="{bottom + _MARGIN:.0f}"><style>{_STYLE}</style>'
        f'<rect width="100%" height="100%" fill="white"/>'
        f'<text x="{_MARGIN}" y="20">{escape(legend)}</text>{"".join(body)}</svg>\n'
    )


class _Graph:
    """Nodes near the truncation and below it, and the names of the truncated outputs."""

    def __init__(self, program: Program, truncated: Program) -> None:
        self._program = program
        self._kept = {value for op in truncated.walk() for value in op.outputs}
        self._names = {op.inputs[0]: str(op.attribute("name")) for op in truncated.outputs}
        ends = [self._top(op.inputs[0]) for op in program.outputs]
        chosen = self._chosen([op for op in ends if op is not None])
        nodes: dict[int, _Node] = {}
        for op in program.block.operations:
            if id(op) in chosen:
                nodes[id(op)] = self._node(op, nodes)
        for op, end in zip(program.outputs, ends, strict=True):
            if end is not None:
                last = _Node("output", [f"output {op.attribute('col')}"], [nodes[id(end)]])
                nodes[id(op)] = last
        self.nodes = list({id(node): node for node in nodes.values()}.values())
        self.truncated_names = self._crossings(nodes)

    def _top(self, value: int) -> Operation | None:
        """The operation of the main block that makes a value, directly or in a nested block."""
        op = self._program.maker(value)
        while op is not None and op.parent is not None and op.parent.owner is not None:
            op = op.parent.owner
        return op

    def _is_kept(self, op: Operation) -> bool:
        return op.name == INPUT or any(value in self._kept for value in op.outputs)

    def _sources(self, op: Operation) -> list[Operation]:
        """Operations of the main block whose results an operation or its regions read."""
        inner = {value for each in op.walk() for value in each.outputs}
        read = dict.fromkeys(value for each in op.walk() for value in each.inputs)
        found = (self._top(value) for value in read if value not in inner)
        return [s for s in found if s is not None and s is not op and s.name not in _HIDDEN]

    def _chosen(self, ends: Iterable[Operation]) -> set[int]:
        """All removed operations, and a few levels of kept ones above them."""
        depth: dict[int, int] = {}
        pending = [(op, 0) for op in ends]
        while pending:
            op, levels = pending.pop()
            levels = levels + 1 if self._is_kept(op) else 0
            if levels > _LEVELS_ABOVE or depth.get(id(op), 99) <= levels:
                continue
            depth[id(op)] = levels
            pending += [(source, levels) for source in self._sources(op)]
        return set(depth)

    def _node(self, op: Operation, nodes: dict[int, _Node]) -> _Node:
        """A new node, or the node above if the operation continues its chain."""
        name = op.name.removeprefix("pd_op.").removeprefix("builtin.")
        kind = "input" if op.name == INPUT else "kept" if self._is_kept(op) else "gone"
        lines = [f"input {op.attribute('name')}" if kind == "input" else name]
        above = [nodes[id(source)] for source in self._sources(op) if id(source) in nodes]
        above = list({id(node): node for node in above}.values())
        sources = self._sources(op)
        if len(sources) == 1 and len(above) == 1 and above[0].kind == kind:
            (source,) = sources
            if len(self._drawn_readers(source)) == 1 and not self._crosses(source):
                if len(above[0].lines) < _MOST_NAMES:
                    above[0].lines += lines
                elif above[0].lines[-1] != "...":
                    above[0].lines.append("...")
                return above[0]
        return _Node(kind, lines, above)

    def _drawn_readers(self, op: Operation) -> set[int]:
        tops = set()
        for value in op.outputs:
            for reader in self._program.readers(value):
                top = reader
                while top.parent is not None and top.parent.owner is not None:
                    top = top.parent.owner
                tops.add(id(top))
        return tops

    def _crosses(self, op: Operation) -> bool:
        return any(value in self._names for value in op.outputs)

    def _crossings(self, nodes: dict[int, _Node]) -> dict[int, str]:
        """Names of the outputs of the truncated graph, by the node that makes them."""
        found: dict[int, list[str]] = {}
        for value, name in self._names.items():
            top = self._top(value)
            if top is not None and id(top) in nodes:
                found.setdefault(id(nodes[id(top)]), []).append(name)
        return {key: ", ".join(names) for key, names in found.items()}


def _rows(nodes: list[_Node]) -> list[list[_Node]]:
    """Nodes by longest distance from the top; rows are ordered by the nodes above."""
    for node in nodes:
        node.level = 1 + max((other.level for other in node.above), default=-1)
    rows: list[list[_Node]] = [[] for _ in range(max(node.level for node in nodes) + 1)]
    for node in nodes:
        rows[node.level].append(node)
    for row in rows:
        for index, node in enumerate(row):
            places = [other.column for other in node.above]
            node.column = sum(places) / len(places) if places else index
        row.sort(key=lambda node: node.column)
        for index, node in enumerate(row):
            node.column = index - len(row) / 2
    # Rows that are too wide for a screen are wrapped.
    return [row[i : i + _MOST_PER_ROW] for row in rows for i in range(0, len(row), _MOST_PER_ROW)]


def _place(rows: list[list[_Node]]) -> float:
    """Set the coordinates; returns the width of the drawing."""
    widths = [sum(node.size[0] + _GAP_X for node in row) for row in rows]
    width = max(*widths, 900.0) + 2 * _MARGIN
    y = 40.0
    for row, own in zip(rows, widths, strict=True):
        x = (width - own) / 2
        for node in row:
            node.x, node.y = x, y
            x += node.size[0] + _GAP_X
        y += max(node.size[1] for node in row) + _GAP_Y
    return width


def _is_truncated(node: _Node, above: _Node, names: dict[int, str]) -> bool:
    return above.kind == "kept" and node.kind != "kept" and id(above) in names


def _edge(node: _Node, above: _Node, kind: str) -> str:
    x0, y0 = above.x + above.size[0] / 2, above.y + above.size[1]
    x1, y1 = node.x + node.size[0] / 2, node.y
    middle = (y0 + y1) / 2
    points = ((x0, y0), (x0, middle), (x1, middle), (x1, y1))
    start, *others = (f"{x:.0f},{y:.0f}" for x, y in points)
    return f'<path class="{kind}" d="M{start} C{" ".join(others)}"/>'


def _label(node: _Node, names: dict[int, str]) -> str:
    """Label of the outputs that the truncated graph returns from a node."""
    x, y = node.x + node.size[0] / 2 + 5, node.y + node.size[1] + 13
    return f'<text class="cut" x="{x:.0f}" y="{y:.0f}">{escape(names[id(node)])}</text>'


def _box(node: _Node) -> str:
    width, height = node.size
    lines = "".join(
        f'<text x="{node.x + 8:.0f}" y="{node.y + 15 + i * _LINE:.0f}">{escape(line)}</text>'
        for i, line in enumerate(node.lines)
    )
    return (
        f'<g class="{node.kind}"><rect x="{node.x:.0f}" y="{node.y:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" rx="4"/>{lines}</g>'
    )
