"""What the library exports, and which page of the reference lists it. Needs no Sphinx: the tests use it too."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = "miniffx"
REFERENCE = Path(__file__).parents[1] / "reference"


def packages() -> list[str]:
    """The package, and its parts but the command line, which is no API."""
    root = importlib.import_module(ROOT)
    parts = [name for name, item in vars(root).items() if inspect.ismodule(item) and is_package(item)]
    return [ROOT, *sorted(f"{ROOT}.{name}" for name in parts if not name.startswith("_") and name != "cli")]


def is_package(module: ModuleType) -> bool:
    """Whether it is a package of the library, re-exports and all."""
    return module.__name__.startswith(f"{ROOT}.") and hasattr(module, "__path__")


def exported(package: str) -> dict[str, Any]:
    """Public name to class or function of the library, in the order in which the package imports them."""
    return {
        name: item
        for name, item in vars(importlib.import_module(package)).items()
        if not name.startswith("_")
        and (inspect.isclass(item) or inspect.isroutine(item))
        and str(getattr(item, "__module__", "")).startswith(ROOT)
    }


def shortest_name(package: str, name: str) -> str:
    """The name that users write: that of the library itself where it has the same thing."""
    item = exported(package)[name]
    return next((f"{ROOT}.{short}" for short, other in exported(ROOT).items() if other is item), f"{package}.{name}")


def chosen(package: str, modules: str | None = None) -> list[str]:
    """Names that a directive lists: all that the package exports, or those defined in some modules."""
    wanted = None if modules is None else [f"{ROOT}.{module}" for module in modules.split()]
    return [
        shortest_name(package, name)
        for name, item in exported(package).items()
        if wanted is None or any(f"{item.__module__}.".startswith(f"{module}.") for module in wanted)
    ]


def listed() -> Iterator[str]:
    """Every name that a page of the reference lists."""
    for path in sorted(REFERENCE.glob("*.md")):
        for match in re.finditer(r"^\.\. public:: (\S+)\n(?:   :from: (.+)\n)?", path.read_text(), re.MULTILINE):
            yield from chosen(*match.groups())
