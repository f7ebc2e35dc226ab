"""Many frames: what distributions accept, and how they are averaged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from miniffx.structure import Structure


def distribution_frames(structures: Structure | Iterable[Any]) -> list[Structure]:
    """One structure, or many structures or frames, as a list. ValueError where there are none, or something else."""
    items = [structures] if isinstance(structures, Structure) else list(structures)
    frames = [getattr(item, "structure", item) for item in items]
    if not frames:
        raise ValueError("`structures` must hold at least one structure, got none")
    for number, frame in enumerate(frames):
        if not isinstance(frame, Structure) or frame.positions.ndim != 2:
            raise ValueError(f"`structures` must be a Structure or a sequence of them, got {frame!r} at {number}")
    return frames


def mean_over_frames(results: Iterable[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The mean of each entry over the frames that have it, sorted by key."""
    sums: dict[str, tuple[np.ndarray, int]] = {}
    for result in results:
        for key, values in result.items():
            total, count = sums.get(key, (0, 0))
            sums[key] = (total + values, count + 1)
    return {key: total / count for key, (total, count) in sorted(sums.items())}
