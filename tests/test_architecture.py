"""The arrows between rooms (docs/architecture.md), by a walk over the imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOOR = {"inference", "inference.errors", "inference.requests"}
HEAVY = {"vllm", "torch", "transformers", "ray"}
# vLLM imports it in an engine's process, and builds on its classes.
NAMED_TO_VLLM = ("vllm_one_process.py",)
PURE = (
    "admission",
    "decisions",
    "estimates",
    "fairness",
    "grants",
    "ladder",
    "line",
    "outlook",
    "placement",
    "planning",
    "replica",
    "scheduler",
    "sizing",
    "state",
    "turns",
)


def modules(folder: str) -> list[Path]:
    return [p for p in (ROOT / folder).rglob("*.py") if "migrations" not in p.parts]


def imports(path: Path, top_level: bool = False) -> Iterator[str]:
    """Dotted names that a module imports; with `top_level`, only outside functions."""
    tree = ast.parse(path.read_text())
    nodes = _outside_functions(tree) if top_level else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _outside_functions(child)


def roots(names: Iterator[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def test_playground_enters_inference_by_its_front_door() -> None:
    for path in modules("playground"):
        inside = {n for n in imports(path) if n.split(".")[0] == "inference"}
        rooms = {".".join(n.split(".")[:2]) for n in inside}
        known = {f"inference.{n}" for n in _exported()} | DOOR | {"inference.models"}
        assert rooms <= known, f"{path.relative_to(ROOT)} imports {rooms - known}"


def _exported() -> list[str]:
    tree = ast.parse((ROOT / "inference" / "__init__.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    raise AssertionError("inference has no __all__")


def test_inference_knows_no_web() -> None:
    for path in modules("inference"):
        assert not roots(imports(path)) & {"playground", "rest_framework", "channels", "daphne"}, (
            path
        )
        if path.name != "admin.py":
            assert not any(n.startswith("django.http") for n in imports(path)), path


def test_engines_know_neither_django_nor_the_service() -> None:
    for path in modules("inference/engines"):
        names = set(imports(path))
        assert "django" not in roots(iter(names)), path
        assert not names & {"inference.scheduler", "inference.service"}, path


def test_what_is_only_named_to_vllm_is_imported_by_nobody_else() -> None:
    names = {f"inference.engines.{Path(name).stem}" for name in NAMED_TO_VLLM}
    for path in [*modules("inference"), *modules("playground")]:
        assert not names & set(imports(path)), path


@pytest.mark.parametrize("folder", ["inference", "playground"])
def test_heavy_libraries_are_imported_inside_functions(folder: str) -> None:
    for path in modules(folder):
        if "pocket" not in path.parts and path.name not in NAMED_TO_VLLM:
            assert not roots(imports(path, top_level=True)) & HEAVY, path


@pytest.mark.parametrize("name", PURE)
def test_deciding_is_apart_from_acting(name: str) -> None:
    names = roots(imports(ROOT / "inference" / f"{name}.py"))
    assert not names & {"asyncio", "torch", "django", "time"}


def test_api_and_websocket_do_not_know_each_other() -> None:
    for path in modules("playground/api"):
        assert not any(n.startswith("playground.consumers") for n in imports(path)), path
    # A frame holds what a body of the API holds, and is read by the same code; no more than that.
    shared = {f"playground.api.{name}" for name in ("body", "parameters", "serializers")}
    for name in ("answers", "consumers", "frames", "replies"):
        names = imports(ROOT / "playground" / f"{name}.py")
        rooms = {".".join(n.split(".")[:3]) for n in names if n.startswith("playground.api.")}
        assert rooms <= shared, name


def test_no_file_outgrows_its_room() -> None:
    tracked = [
        p for folder in ("inference", "playground", "bench", "tests") for p in modules(folder)
    ]
    long = {p.relative_to(ROOT): n for p in tracked if (n := len(p.read_text().splitlines())) > 400}
    assert not long
