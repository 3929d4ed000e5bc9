"""The structure that docs/architecture.md describes: who imports whom, sizes, names, and the page itself.

Everything is found by parsing the modules, not by importing them; ``test_imports.py`` sees what is really loaded.
"""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "nvcodec"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
FOLDERS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists())
ROOT_MODULES = {"errors", "files", "memory", "devices", "metrics", "notes", "samples", "tracks"}

#: What each folder may import: folders and root modules. ``version`` is ``nvcodec.__version__``.
MAY_IMPORT = {
    "format": {"errors", "samples", "tracks"},
    "decoding": {"format", "errors", "devices", "samples"},
    "video": {"errors", "files", "memory", "notes", "samples", "tracks"},
    "encoding": {"decoding", "format", "video", "version", *ROOT_MODULES},
    "bench": {"encoding", "decoding", "format", "video", "version", *ROOT_MODULES},
    "cli": {"bench", "encoding", "decoding", "format", "video", "version", *ROOT_MODULES},
}

MAX_LINES = {"function": 80, "class": 200, "module": 400}
#: What may be longer, and why: "folder/module.py" or "folder/module.py Name". None is, and each new one needs a reason.
EXCEPTIONS: dict[str, str] = {}


@functools.cache
def tree_of(module: str) -> ast.Module:
    return ast.parse((PACKAGE / module).read_text())


def statements(node: ast.AST, *, everywhere: bool) -> Iterator[ast.AST]:
    """All statements; unless ``everywhere``, only those that run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
        types_only = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        yield child
        if everywhere or not (inside or types_only):
            yield from statements(child, everywhere=everywhere)


@functools.cache
def imports(module: str, everywhere: bool = True) -> frozenset[str]:
    """Dotted names of the modules that a module imports, in functions and for types as well if ``everywhere``."""
    names = set()
    for node in statements(tree_of(module), everywhere=everywhere):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{module}: imports are absolute"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names.add(full if path_of(full) else node.module)
    return frozenset(names)


def path_of(name: str) -> str | None:
    """The file of a module of this package, given its dotted name."""
    first, *rest = name.split(".")
    inner = "/".join(rest)
    candidates = [f"{inner}.py", f"{inner}/__init__.py"] if rest else ["__init__.py"]
    return next((path for path in candidates if first == "nvcodec" and path in MODULES), None)


def folder_of(module: str) -> str:
    """The folder of a module, or the name of a root module."""
    return "version" if module == "__init__.py" else module.split("/")[0].removesuffix(".py")


def loaded_by(module: str) -> set[str]:
    """Packages that importing a module loads, directly or by modules of this package."""
    found: set[str] = set()
    seen = {module}
    waiting = [module]
    while waiting:
        for name in imports(waiting.pop(), everywhere=False):
            path = path_of(name)
            if path is None:
                found.add(name.split(".")[0])
            elif path not in seen:
                seen.add(path)
                waiting.append(path)
    return found


# ---- imports ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [module for module in MODULES if "/" in module])
def test_imports_run_one_way(module: str) -> None:
    here = folder_of(module)
    used = {folder_of(path) for name in imports(module) if (path := path_of(name))}
    assert used - {here} <= MAY_IMPORT[here]


def test_root_modules_import_no_folder() -> None:
    for name in ROOT_MODULES:
        used = {folder_of(path) for other in imports(f"{name}.py") if (path := path_of(other))}
        assert used <= ROOT_MODULES, name


def test_every_folder_has_a_rule() -> None:
    assert set(MAY_IMPORT) == set(FOLDERS)
    assert {module.removesuffix(".py") for module in MODULES if "/" not in module} - {"__init__", "__main__"} == (
        ROOT_MODULES
    )


def test_the_format_and_the_configuration_need_no_torch() -> None:
    for module in MODULES:
        if module.startswith("format/"):
            outside = {name.split(".")[0] for name in imports(module)} | loaded_by(module)
            assert not outside & {"torch", "av", "click"}, module
    assert not loaded_by("encoding/encode_config.py") & {"torch", "numpy", "av"}


def test_decoding_knows_pyav_in_one_module_and_loads_it_on_need() -> None:
    users = {module for module in MODULES if module.startswith("decoding/") and "av" in imports(module)}
    assert users == {"decoding/base_decoder.py"}
    assert not any("av" in loaded_by(module) for module in MODULES if module.startswith("decoding/"))


def test_the_command_line_loads_torch_only_when_a_command_runs() -> None:
    for module in MODULES:
        if module.startswith("cli/"):
            assert not loaded_by(module) & {"torch", "av"}, module


def test_there_are_no_import_cycles() -> None:
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way, module))
        if module in done:
            return
        for name in imports(module, everywhere=False):
            if path := path_of(name):
                visit(path, (*way, module))
        done.add(module)

    for module in MODULES:
        visit(module, ())


# ---- names and sizes -------------------------------------------------------------------------------------------------


def test_no_two_modules_of_a_name() -> None:
    names = Counter(Path(module).name for module in MODULES if not module.endswith("__init__.py"))
    assert [name for name, count in names.items() if count > 1] == []


def too_long(module: str) -> Iterator[str]:
    """Functions and classes of a module that are too long, and the module itself."""
    if len((PACKAGE / module).read_text().splitlines()) > MAX_LINES["module"]:
        yield module
    for node in ast.walk(tree_of(module)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            kind = "class" if isinstance(node, ast.ClassDef) else "function"
            assert node.end_lineno
            if node.end_lineno - node.lineno + 1 > MAX_LINES[kind]:
                yield f"{module} {node.name}"


def test_functions_classes_and_modules_are_short() -> None:
    long = {name for module in MODULES for name in too_long(module)}
    assert sorted(long - set(EXCEPTIONS)) == []
    assert sorted(set(EXCEPTIONS) - long) == [], "these are short now: take them out of EXCEPTIONS"


# ---- the page --------------------------------------------------------------------------------------------------------


def tree_on_the_page() -> list[str]:
    """Paths of the modules in the page's tree of folders."""
    block = PAGE[PAGE.index("```\nnvcodec/") + 4 :]
    paths: list[str] = []
    folders: list[str] = []
    for line in block[: block.index("```")].splitlines()[1:]:
        indent, name = re.match(r"( *)(\S+)", line).groups()  # type: ignore[union-attr]
        folders = folders[: len(indent) // 2 - 1]
        if name.endswith("/"):
            folders.append(name)
        else:
            paths.append("".join(folders) + name)
    return paths


def test_the_page_names_every_module() -> None:
    inner = {module for module in MODULES if module.endswith("/__init__.py")}
    assert sorted(tree_on_the_page()) == sorted(set(MODULES) - inner)


@pytest.mark.parametrize("name", ["architecture.md", "adding-an-operation.md"])
def test_modules_functions_and_classes_on_a_page_exist(name: str) -> None:
    page = (ROOT / "docs" / name).read_text()
    sources = [path for folder in ("nvcodec", "tests", "tools") for path in (ROOT / folder).rglob("*.py")]
    for path in re.findall(r"(?<![\w/])(?:[a-z]\w*/)+\w+\.py\b", page):
        assert path in MODULES or (ROOT / path).exists(), path
    for file in re.findall(r"(?<![\w/])\w+\.py\b", page):
        assert file in {path.name for path in sources}, file
    functions, classes = set(), set()
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.ClassDef):
                classes.add(node.name)
                functions |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
            elif isinstance(node, ast.FunctionDef):
                functions.add(node.name)
    assert set(re.findall(r"`([\w.]+)\(\)`", page)) - functions == set()
    assert set(re.findall(r"`([A-Z][a-z]\w*)`", page)) - classes - {"DataLoader"} == set()


def test_the_tests_mirror_the_package() -> None:
    folders = {path.parent.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(FOLDERS) <= folders
    for folder in folders - {".", "system"}:
        assert (PACKAGE / folder).is_dir(), folder
