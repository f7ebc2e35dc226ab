"""The directive ``drawing``: a picture that a script in docs/figures draws when the pages are built.

    ```{drawing} atom
    :alt: Two atoms, silicon and oxygen.

    A caption.
    ```

takes figures/atom.py, whose ``draw(ax, ink)`` draws on matplotlib axes, with `ink` for lines and letters. The script
may set ``SIZE``, in inches. It is drawn twice, for light and for dark pages.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FIGURES = Path(__file__).parents[1] / "figures"
GENERATED = FIGURES.parent / "generated"
INK = {"light": "#1f2328", "dark": "#d8dee4"}


def draw_all(app: Sphinx) -> None:
    """All drawings, in both inks."""
    import matplotlib

    matplotlib.use("svg")
    sys.path.insert(0, str(FIGURES))
    GENERATED.mkdir(exist_ok=True)
    for path in sorted(FIGURES.glob("[a-z]*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
        if hasattr(script, "draw"):
            for name, ink in INK.items():
                draw(script, ink, GENERATED / f"{path.stem}-{name}.svg")


def draw(script: Any, ink: str, path: Path) -> None:
    """One drawing, as a transparent SVG with outlines for letters."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    colors = dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), ink)
    settings = {**colors, "font.size": 10, "svg.hashsalt": "miniffx", "axes.spines.top": False,
                "axes.spines.right": False, "legend.frameon": False, "lines.linewidth": 1.6}  # fmt: skip
    with rc_context(settings):
        figure = Figure(figsize=getattr(script, "SIZE", (5.2, 2.6)), layout="constrained")
        ax = figure.add_subplot()
        ax.patch.set_visible(False)
        script.draw(ax, ink)
        figure.savefig(path, transparent=True, metadata={"Date": None})


class Drawing(SphinxDirective):
    """A drawing with its caption."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Two images, one of them shown, and the caption."""
        (name,) = self.arguments
        if not (FIGURES / f"{name}.py").is_file():
            raise self.error(f"no drawing {name}: there is no docs/figures/{name}.py")
        figure = nodes.figure("", classes=["drawing"])
        for ink in INK:
            uri = f"/generated/{name}-{ink}.svg"
            image = nodes.image("", uri=uri, alt=self.options["alt"], classes=[f"only-{ink}"])
            figure += image
        if self.content:
            caption = nodes.caption("", "")
            caption.extend(self.parse_inline("\n".join(self.content), lineno=self.content_offset)[0])
            figure += caption
        return [figure]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.connect("builder-inited", draw_all)
    app.add_directive("drawing", Drawing)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
