"""Strict numerics for every test: double precision (single with --float32), and no warning passes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import pytest
from hypothesis import settings

# Repeatable and independent of the machine's load: the same examples in every run, and no time limit for one.
settings.register_profile("miniffx", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("miniffx")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--float32", action="store_true", help="single precision, and only tests marked float32_too")
    parser.addoption(
        "--rank-promotion",
        default="allow",
        choices=("allow", "warn", "raise"),
        help="what JAX does where arrays of different rank meet (jax_numpy_rank_promotion)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "float32_too: also holds in single precision (pytest --float32)")
    jax.config.update("jax_enable_x64", not config.getoption("--float32"))
    jax.config.update("jax_numpy_rank_promotion", config.getoption("--rank-promotion"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--float32"):
        double = [item for item in items if item.get_closest_marker("float32_too") is None]
        items[:] = [item for item in items if item.get_closest_marker("float32_too") is not None]
        config.hook.pytest_deselected(items=double)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Third-party reference data, which stands beside the project and is read in place."""
    path = Path(__file__).parents[1].parent / "shared"
    if not path.is_dir():
        pytest.skip(f"no reference data: {path} does not exist")
    return path


@pytest.fixture(scope="session")
def miniff(shared: Path) -> dict[str, Any]:
    """Values and gradients of the reference kernels (their README says how they count)."""
    return json.loads((shared / "reference" / "miniff" / "reference.json").read_text())


@pytest.fixture(autouse=True, scope="module")
def _forget_programs() -> Iterator[None]:
    """Every compiled program holds maps of memory, of which a process on Linux may have 65 530."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 30_000:
        jax.clear_caches()
