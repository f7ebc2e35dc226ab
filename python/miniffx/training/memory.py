"""Memory that is free where features are kept."""

from __future__ import annotations

import math
from pathlib import Path

import jax


def free_memory() -> float:
    """Bytes that the default device can still give; infinite where it does not tell."""
    stats = jax.devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return float(stats["bytes_limit"] - stats["bytes_in_use"])
    info = Path("/proc/meminfo")
    if jax.default_backend() != "cpu" or not info.exists():
        return math.inf
    return next(1024.0 * int(line.split()[1]) for line in info.read_text().splitlines() if "MemAvailable" in line)
