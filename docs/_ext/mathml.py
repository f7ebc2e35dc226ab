"""Formulas as MathML, which browsers draw themselves: no script, no font, no network."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.utils.math import MathError, pick_math_environment
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)


def mathml(code: str, node: nodes.Node, block: bool = False) -> str:
    """LaTeX as MathML; a warning, and the code as it is, for what the translation does not know."""
    try:
        return str(tex2mathml(code, as_block=block))
    except MathError as error:
        logger.warning("formula: %s", error, location=node)
        return f"<code>{code}</code>"


def visit_math(self: Any, node: nodes.math) -> None:
    """An inline formula."""
    self.body.append(mathml(node.astext(), node))
    raise nodes.SkipNode


def visit_displaymath(self: Any, node: nodes.math_block) -> None:
    """A formula on lines of its own."""
    code = node.astext()
    environment = pick_math_environment(code)
    if environment != "equation*":
        code = f"\\begin{{{environment}}}{code}\\end{{{environment}}}"
    self.body.append(f'<div class="math">{mathml(code, node, block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
