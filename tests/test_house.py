"""The architecture: a floor imports only from floors below it, and numba stays in its room."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent

# From the ground up. A file imports only from earlier lines, or from a neighbour in its folder on the same line; that no two
# files import each other is tested apart.
FLOORS = [
    ["microtensor.kernels.jit", "microtensor.kernels.settings", "microtensor.kernels.memory"],
    ["microtensor.kernels.vectors", "microtensor.kernels.threads", "microtensor.kernels.elementary"],
    ["microtensor.kernels.elementwise", "microtensor.kernels.rows"],
    ["microtensor.kernels.gemm"],
    ["microtensor.kernels.*"],
    ["microtensor.kernels"],
    ["microtensor.tensor"],
    ["microtensor.backward", "microtensor.graph"],
    ["microtensor.differentiable"],
    ["microtensor.ops.elementwise", "microtensor.ops.shape", "microtensor.ops.indexing"],
    ["microtensor.ops.products", "microtensor.ops.reduction"],
    ["microtensor.ops.neural"],
    ["microtensor.ops.layers"],
    ["microtensor.ops"],
    ["microtensor.nn", "microtensor.optim", "microtensor.gradcheck", "microtensor.serialize"],
    ["microtensor"],
    ["zoo.errors"],
    ["zoo.recipe", "zoo.text.corpus", "zoo.text.tokenizer", "zoo.text.marks"],
    ["zoo.text.material", "zoo.text.examples", "zoo.text"],
    ["zoo.text.*"],
    ["zoo.text.turns"],
    ["zoo.model"],
    ["zoo.models.*", "zoo.models"],
    ["zoo.registry"],
    ["zoo.training.progress", "zoo.training.checkpoint", "zoo.training.evaluation"],
    ["zoo.training.run_folder", "zoo.decoding.sampling", "zoo.decoding.cache", "zoo.decoding.plain"],
    ["zoo.decoding.reader"],
    ["zoo.decoding.*"],
    ["zoo.training.*", "zoo.training", "zoo.decoding"],
    ["zoo.training.prepare"],
    ["zoo.inspection.walk", "zoo.inspection.painting", "zoo.inspection"],
    ["zoo.inspection.view"],
    ["zoo.inspection.forward", "zoo.inspection.learning"],
    ["zoo.inspection.middle"],
    ["zoo.pictures.style", "zoo.pictures"],
    ["zoo.pictures.*"],
    ["zoo"],
    ["zoo.command"],
    [
        "zoo.train",
        "zoo.generate",
        "zoo.predict",
        "zoo.evaluate",
        "zoo.plot",
        "zoo.chat",
        "zoo.dialogue",
        "zoo.explain",
        "zoo.compare",
        "zoo.__main__",
    ],
]


def floor(module):
    for i, names in enumerate(FLOORS):
        if module in names:
            return i
    for i, names in enumerate(FLOORS):
        if any(name.endswith(".*") and module.startswith(name[:-1]) for name in names):
            return i
    raise AssertionError(f"{module} has no floor: give it one in FLOORS")


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
            if imported.partition(".")[0] in ("microtensor", "zoo") and imported != module and module != "zoo":
                same_room = module.rpartition(".")[0] == imported.rpartition(".")[0]
                below = floor(imported) < floor(module) or (floor(imported) == floor(module) and same_room)
                assert below, f"{module} imports {imported}, which is not below it"


def test_numba_stays_in_its_room():
    for module, path in modules():
        if not module.startswith("microtensor.kernels"):
            assert not [m for m in imports(path) if m.partition(".")[0] in ("numba", "llvmlite")], module


def test_no_two_files_import_each_other():
    graph = {module: set(imports(path)) for module, path in modules() if module != "zoo"}
    for module, imported in graph.items():
        for other in imported & graph.keys():
            assert module == other or module not in graph[other], f"{module} and {other} import each other"
