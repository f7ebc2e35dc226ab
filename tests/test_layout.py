"""The house rules: who may import whom, where derivatives are taken, no global state, documentation that runs."""

from __future__ import annotations

import ast
import doctest
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import miniffx

PACKAGE = Path(miniffx.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}
CORE = "miniffx._core"  # compiled
TREES = {name: ast.parse(path.read_text(), filename=str(path)) for name, path in MODULES.items()}


def imported_by(statement, name):
    """The modules that an import statement of the module `name` names, written out in full."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    base = statement.module or ""
    if statement.level:
        package = name.split(".") if MODULES[name].name == "__init__.py" else name.split(".")[:-1]
        base = ".".join([*package[: len(package) - statement.level + 1], *filter(None, [statement.module])])
    full = [f"{base}.{alias.name}" for alias in statement.names]
    return [target if target in {*MODULES, CORE} else base for target in full]


def imports(name, anywhere=False):
    """What a module imports when it is imported (or `anywhere`: in functions too); not what is for type checkers."""
    found = []

    def visit(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                found.extend(imported_by(child, name))
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            elif anywhere or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                visit(child)

    visit(TREES[name])
    return found


# From low to high. A module may import its own layer and those below; of two in one row, neither may import the other.
LAYERS = [
    {"_pytree", "_checks", "_core"},
    {"structure", "minimizers"},
    {"neighbors"},
    {"geometry"},
    {"blocks"},
    {"mapping"},
    {"potentials", "descriptors", "derivatives"},
    {"models", "analysis", "relax"},
    {"io"},
    {"training"},
    {"plot", "calculators"},
    {"cli"},
    {"__main__"},
]
RANK = {layer: rank for rank, row in enumerate(LAYERS) for layer in row}


def layer(name):
    """The first part of a module's name below the package; "" for the package itself."""
    return name.split(".")[1] if "." in name else ""


def test_every_module_has_its_layer():
    assert {layer(name) for name in MODULES} - {""} <= set(RANK)


@pytest.mark.parametrize("name", [name for name in MODULES if layer(name)])
def test_imports_point_one_way(name):
    for target in imports(name):
        if target.split(".")[0] != "miniffx":
            continue
        below, here = layer(target), layer(name)
        assert below or here == "cli", f"{name} imports the whole package"
        if not below:
            continue
        assert below == here or RANK[below] < RANK[here], f"{name} imports {target}"


@pytest.mark.parametrize("name", MODULES)
def test_nothing_imports_what_is_on_top(name):
    """Nobody but the package's front page and the command line, not even inside a function."""
    if layer(name) in ("", "cli", "__main__"):
        return
    for target in imports(name):
        assert layer(target) not in {"plot", "calculators", "cli"} - {layer(name)}, f"{name} imports {target}"


def test_the_core_has_one_caller():
    assert {layer(name) for name in MODULES if CORE in imports(name, anywhere=True)} == {"neighbors"}


def test_derivatives_know_no_model():
    layers = {layer(target) for target in imports("miniffx.derivatives", anywhere=True) if "miniffx" in target}
    assert layers <= {"_checks", "_pytree", "structure", "neighbors", ""}
    assert not any(target.startswith("miniffx.models") for target in imports("miniffx.derivatives", anywhere=True))


@pytest.mark.parametrize("name", MODULES)
def test_matplotlib_is_imported_for_pictures_only(name):
    if layer(name) not in ("plot", "cli"):
        assert not [target for target in imports(name, anywhere=True) if target.split(".")[0] == "matplotlib"]


# Who differentiates what: energies in one place.
DIFFERENTIATE = {"grad", "value_and_grad", "hessian", "jacfwd", "jacrev", "jacobian", "jvp", "vjp", "linearize"}
DERIVATIVES = {
    "miniffx.derivatives": "forces, stress, Hessian of an energy",
    "miniffx.analysis.elastic_constants": "second derivatives of an energy in strains and displacements at once",
    "miniffx.blocks": "functions of rows in displacements and parameters",
    "miniffx.descriptors.descriptor_set": "descriptors in the displacements of the neighbours, networks in descriptors",
    "miniffx.descriptors.tensor_moments": "what pairs add to moments in their displacements",
    "miniffx.descriptors.products": "factors of angles, and sums by moments",
    "miniffx.descriptors.angles": "factors of legs",
    "miniffx.descriptors.compact": "a window in the angle, whose derivative in its cosine has a limit on a line",
    "miniffx.training.stored": "networks in their features, and through them forces from stored descriptors",
    "miniffx.training.steps": "the loss in the weights",
    "miniffx.training.kalman": "errors in the weights, row by row",
}


def derivatives_taken_in(name):
    taken = {
        ast.unparse(node)
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Attribute) and node.attr in DIFFERENTIATE and ast.unparse(node.value) == "jax"
    }
    taken |= {
        alias.name
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "jax"
        for alias in node.names
        if alias.name in DIFFERENTIATE
    }
    return taken


def test_energies_are_differentiated_in_one_place():
    """The list of those who take derivatives is complete, and nobody is on it without reason."""
    assert {name for name in MODULES if derivatives_taken_in(name)} == set(DERIVATIVES)


# -- precision -------------------------------------------------------------------------------------

PRODUCTS = {"dot", "dot_general", "einsum", "inner", "matmul", "tensordot", "vdot"}
# Where `@`, which names no precision, multiplies arrays of NumPy.
WITH_NUMPY = {
    "miniffx.analysis.smearing",
    "miniffx.cli.silicon",
    "miniffx.descriptors.selection",
    "miniffx.models.scaling",
    "miniffx.structure",
    "miniffx.training.stored",
}


def test_products_of_matrices_name_their_precision():
    """On GPUs the default rounds factors to 10 bits."""
    with_operator = set()
    for name, tree in TREES.items():
        named = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and any(keyword.arg == "precision" for keyword in node.keywords):
                named |= {node.func, *node.args}  # called, or handed to functools.partial
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
                with_operator.add(name)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in PRODUCTS:
                text = ast.unparse(node)
                if text.startswith(("jnp.", "jax.", "lax.")):
                    assert node in named, f"{name}, line {node.lineno}: {text}"
    assert with_operator == WITH_NUMPY


# -- no global state -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODULES)
def test_nobody_touches_the_configuration_of_jax(name):
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            assert not text.endswith(("config.update", "config.values")), f"{name}, line {node.lineno}: {text}"
            assert text != "os.environ" or layer(name) == "cli", f"{name}, line {node.lineno}: {text}"
        if isinstance(node, ast.Assign):
            for target in node.targets:
                assert not ast.unparse(target).startswith("jax.config."), f"{name}, line {node.lineno}"


def test_importing_the_package_changes_nothing():
    code = """
import json, warnings, jax, numpy as np
def state():
    return {name: str(value) for name, value in jax.config.values.items()} | {
        "errors": str(np.geterr()), "print": str(np.get_printoptions()), "filters": str(warnings.filters)}
import ase, matplotlib, optax, safetensors, tqdm
before = state()
import miniffx
after = state()
print(json.dumps([[name, before[name], after[name]] for name in before if before[name] != after[name]]))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(run.stdout.splitlines()[-1]) == []


# -- documentation ---------------------------------------------------------------------------------


def public(tree, prefix=""):
    """(name, node) of the public classes, functions and methods that a module defines at its top level."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node, f"{prefix}{node.name}.")


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_is_documented(name):
    assert ast.get_docstring(TREES[name]), f"{name} has no docstring"
    silent = [what for what, node in public(TREES[name]) if not ast.get_docstring(node)]
    assert not silent


@pytest.mark.parametrize("name", [name for name in MODULES if layer(name) != "__main__"])
def test_examples_in_docstrings_run(name, tmp_path, monkeypatch):
    module = importlib.import_module(name)
    if not doctest.DocTestFinder(exclude_empty=True).find(module):
        return
    monkeypatch.chdir(tmp_path)  # whatever an example writes
    failed, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert not failed, f"{failed} examples of {name} fail (see the captured output)"
