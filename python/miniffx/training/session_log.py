"""Session log: what a fit did, one JSON object per line, for programs to read."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class SessionLog:
    """Appends events to a file as they happen: "start", "report", "resume", "end", each with its time (UTC).

    A report that follows a "resume" replaces those of the same and later steps before it. Numbers that are not finite
    are written as null.
    """

    def __init__(self, path: str | os.PathLike[str] | None, append: bool = False) -> None:
        self._path = None if path is None else Path(path)
        if self._path is None:
            return
        if append and self._path.exists():
            content = self._path.read_bytes()
            if content and not content.endswith(b"\n"):  # a killed process stopped within a line
                with self._path.open("ab") as file:
                    file.truncate(content.rfind(b"\n") + 1)
        else:
            self._path.write_bytes(b"")

    def write(self, event: str, **content: Any) -> None:
        """One more line."""
        if self._path is None:
            return
        line = {"event": event, "time": datetime.now(UTC).isoformat(timespec="milliseconds")} | content
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_finite(line), ensure_ascii=False) + "\n")


def _finite(item: Any) -> Any:
    if isinstance(item, dict):
        return {name: _finite(value) for name, value in item.items()}
    if (isinstance(item, float) and item != item) or item in (float("inf"), float("-inf")):
        return None
    return item
