# SPDX-License-Identifier: Apache-2.0
"""Imports inside hpip/ follow the order of its parts that CONTRIBUTING.md states."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Modules that users import or start. They may import every part, and no part imports them.
FACES = ("hpip", "hpip.__main__", "hpip.paddlex", "hpip.pipeline", "hpip.predictor")
Imports = Mapping[str, set[str]]


def layers(text: str) -> list[list[str]]:
    """The order of the parts in a document, from the ground up."""
    block = re.search(r"^    errors, types .*(?:\n     .*)*", text, re.MULTILINE)
    assert block, "expected an indented block that begins with 'errors, types'"
    return [re.findall(r"[\w.]+", layer) for layer in block.group().split("<-")]


def read_sources() -> dict[str, str]:
    """Dotted name -> source of every module of the package."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): (
            path.read_text(encoding="utf-8")
        )
        for path in (ROOT / "hpip").rglob("*.py")
    }


def import_graph(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Module -> modules of the package that it imports."""
    return {name: set(imported_modules(source, sources)) for name, source in sources.items()}


def imported_modules(source: str, modules: Collection[str]) -> Iterator[str]:
    """Modules of the package that a source imports anywhere, in functions and for types too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _is_inside(alias.name))
        elif isinstance(node, ast.ImportFrom) and _is_inside(node.module or ""):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                # `from hpip import ops` runs the face of the package, whatever it names.
                inner = whole in modules and node.module != "hpip"
                yield whole if inner else str(node.module)


def _is_inside(module: str) -> bool:
    return module == "hpip" or module.startswith("hpip.")


def part(module: str, parts: set[str]) -> str | None:
    """The longest part that a module belongs to."""
    words = module.removeprefix("hpip.").split(".")
    prefixes = (".".join(words[:end]) for end in range(len(words), 0, -1))
    return next((prefix for prefix in prefixes if prefix in parts), None)


def imports_against(order: list[list[str]], graph: Imports) -> list[str]:
    """Imports of a part that does not lie below the importing one, and modules of no part."""
    rank = {name: level for level, names in enumerate(order) for name in names}
    found = []
    for module, targets in sorted(graph.items()):
        if module in FACES:
            continue
        own = part(module, set(rank))
        if own is None:
            found.append(f"{module} belongs to no part")
            continue
        for target in sorted(targets - {"hpip._core"}):
            other = None if target in FACES else part(target, set(rank))
            if other is None or (other != own and rank[other] >= rank[own]):
                found.append(f"{module} imports {target}")
    return found


def circle(graph: Imports) -> list[str]:
    """Modules that import each other in a loop; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return import_graph(read_sources())


@pytest.fixture(scope="module")
def order() -> list[list[str]]:
    return layers((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))


def test_imports_point_down(graph: Imports, order: list[list[str]]) -> None:
    assert imports_against(order, graph) == []


def test_no_modules_import_each_other_in_a_circle(graph: Imports) -> None:
    assert circle(graph) == []


def test_every_part_of_the_order_exists(graph: Imports, order: list[list[str]]) -> None:
    assert [name for names in order for name in names if f"hpip.{name}" not in graph] == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import hpip", ["hpip.graph.x imports hpip"]),
        ("from hpip import create_predictor", ["hpip.graph.x imports hpip"]),
        ("from hpip import ops", ["hpip.graph.x imports hpip"]),
        ("from hpip.pipeline import create_pipeline", ["hpip.graph.x imports hpip.pipeline"]),
        ("from hpip.model.spec import ModelSpec", ["hpip.graph.x imports hpip.model.spec"]),
        ("def f():\n    import hpip.cli.app", ["hpip.graph.x imports hpip.cli.app"]),
        ("from hpip.backends import pool", ["hpip.graph.x imports hpip.backends.pool"]),
        ("import hpip._core as _core\nimport hpip.ops as ops\nimport numpy", []),
        ("from hpip.graph.program import Program\nfrom hpip.errors import HpipError", []),
    ],
)
def test_each_kind_of_import_is_seen(
    line: str, found: list[str], graph: Imports, order: list[list[str]]
) -> None:
    made = {**graph, "hpip.graph.x": set(imported_modules(line, graph))}
    assert imports_against(order, made) == found


def test_a_part_inside_another_is_a_part_of_its_own(graph: Imports, order: list[list[str]]) -> None:
    made = {**graph, "hpip.inference.execution.x": {"hpip.inference.predictor"}}
    assert imports_against(order, made) == [
        "hpip.inference.execution.x imports hpip.inference.predictor"
    ]


def test_a_module_outside_the_parts_is_seen(graph: Imports, order: list[list[str]]) -> None:
    assert imports_against(order, {**graph, "hpip.loose": set()}) == [
        "hpip.loose belongs to no part"
    ]


def test_a_circle_is_seen(graph: Imports) -> None:
    modules = {**graph, "hpip.common.a": set[str](), "hpip.common.b": set[str]()}
    modules["hpip.common.a"] = set(imported_modules("def f():\n    import hpip.common.b", modules))
    modules["hpip.common.b"] = set(imported_modules("from hpip.common import a", modules))
    assert set(circle(modules)) == {"hpip.common.a", "hpip.common.b"}
