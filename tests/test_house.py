"""The architecture: a floor imports only from floors below it, and numba stays in its room."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent

# From the ground up: a file imports only from its own floor and those below it. A name stands for all that is in it, but for what
# a longer name puts elsewhere.
FLOORS = {
    "the kernels": ["microtensor.kernels"],
    "the engine": ["microtensor"],
    "text": [
        "zoo.untrusted",
        "zoo.errors",
        "zoo.columns",
        "zoo.progress",
        "zoo.tokenizers",
        "zoo.datasets",
        "zoo.chat.template",
        "zoo.chat.exchanges",
        "zoo.chat.augmentation",
        "zoo.chat.synthetic",
    ],
    "what a model is": ["zoo.cache", "zoo.model", "zoo.options", "zoo.recipe"],
    "inference": ["zoo.inference", "zoo.chat"],
    "the models": ["zoo.models", "zoo.registry"],
    "training": ["zoo.training"],
    "looking inside": ["zoo.explain", "zoo.plots"],
    "the commands": ["zoo"],
}


def floor(module):
    """The number of a module's floor, by the longest name that it begins with."""
    if module.endswith(".__main__"):
        return len(FLOORS) - 1
    found = {name: i for i, names in enumerate(FLOORS.values()) for name in names if f"{module}.".startswith(f"{name}.")}
    return found[max(found, key=len)]


def imports(path):
    """Every module that a file imports, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = ROOT / node.module.replace(".", "/") / alias.name
                known = inner.with_suffix(".py").is_file() or (inner / "__init__.py").is_file()
                yield f"{node.module}.{alias.name}" if known else node.module


def modules():
    for package in ("microtensor", "zoo"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def test_no_arrow_points_up():
    for module, path in modules():
        for imported in imports(path):
            if imported.partition(".")[0] in ("microtensor", "zoo") and module != "zoo":
                assert floor(imported) <= floor(module), f"{module} imports {imported}, which is above it"


def test_numba_stays_in_its_room():
    for module, path in modules():
        if not module.startswith("microtensor.kernels"):
            assert not [m for m in imports(path) if m.partition(".")[0] in ("numba", "llvmlite")], module


def test_no_circle_of_imports():
    graph = {module: set(imports(path)) - {module} for module, path in modules() if module != "zoo"}
    seen, under_way = set(), []

    def visit(module):
        assert module not in under_way, " imports ".join([*under_way[under_way.index(module) :], module])
        if module in graph and module not in seen:
            under_way.append(module)
            for imported in graph[module]:
                visit(imported)
            seen.add(under_way.pop())

    for module in graph:
        visit(module)
