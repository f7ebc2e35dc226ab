"""The directive ``public``: everything that a package exports, from its docstrings, so that new names list themselves.

    .. public:: miniffx.potentials

gives a table of the names with the first sentence of each docstring, and then the docstrings. What is exported is what
the package's ``__init__`` imports by name, in that order; with ``:from: relax``, what is defined in that module of it.

Docstrings are written to be read in an editor. What would mean something else to reStructuredText is taken care of
here: indented equations and tables become literal blocks, single backquotes code, and | and * themselves.
"""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any, ClassVar

import exported
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Public(SphinxDirective):
    """The public names of a package."""

    required_arguments = 1
    option_spec: ClassVar = {"from": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """A table, then one autodoc entry for each name."""
        (package,) = self.arguments
        names = exported.chosen(package, self.options.get("from"))
        if not names:
            raise self.error(f"{package} exports nothing of this kind")
        table, entries = [".. list-table::", "   :class: names", "   :widths: auto", ""], []
        for name in names:
            module, _, last = name.rpartition(".")
            item = getattr(importlib.import_module(module), last)
            table += [f"   * - :obj:`{last} <{name}>`", f"     - {first_sentence(item)}"]
            if inspect.isclass(item):
                entries += [f".. autoclass:: {name}", "   :members:", *without_overrides(item), ""]
            else:
                entries += [f".. autofunction:: {name}", ""]
        return self.parse_text_to_nodes("\n".join([*table, "", *entries]))


def first_sentence(item: Any) -> str:
    """What the docstring begins with: up to a full stop or the first blank line, or before a list of symbols."""
    paragraph = " ".join((inspect.getdoc(item) or "").split("\n\n")[0].split())
    return escape(re.split(r"(?<=[\w)\]`])[.;](?= [A-Z_a-zα-ω]|$)", paragraph)[0])


def without_overrides(item: type) -> list[str]:
    """Leave out what a base class of the library explains already, and all fields of a named tuple."""
    if issubclass(item, tuple):
        return ["   :no-members:"]
    bases = [base for base in item.__mro__[1:] if base.__module__.startswith(exported.ROOT)]
    again = sorted({name for name in vars(item) if any(name in vars(base) for base in bases)})
    return [f"   :exclude-members: {', '.join(again)}"] if again else []


def escape(line: str) -> str:
    """A line whose | and * mean nothing, outside of code and roles."""
    parts = re.split(r"(``.*?``|`[^`]*`)", line)
    return "".join(part if part.startswith("`") else re.sub(r"([*|])", r"\\\1", part) for part in parts)


def as_restructured_text(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:  # the signature of the event
    """Docstring to reStructuredText, before the sections are read."""
    if what in ("attribute", "property") and lines:
        lines[:0] = ["..", ""]  # a comment, or what stands before a colon in the first line would be taken for a type
    result: list[str] = []
    in_section = in_block = in_example = False
    for number, line in enumerate(lines):
        indented, blank_before = line.startswith("    "), number == 0 or not lines[number - 1].strip()
        if line.strip() and not indented:
            in_section = bool(re.fullmatch(r"(Args|Attributes|Returns|Raises|Yields):", line.strip()))
            in_block = False
        if line.lstrip().startswith(">>>"):
            in_example = True
        elif not line.strip():
            in_example = False
        if indented and not in_section and not in_block and blank_before and not in_example:
            result += ["::", ""]
            in_block = True
        result.append(line if in_block or in_example else escape(line))
    lines[:] = result


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.connect("autodoc-process-docstring", as_restructured_text, priority=100)
    app.add_directive("public", Public)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
