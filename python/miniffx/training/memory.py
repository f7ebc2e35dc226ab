"""Memory that is free where features are kept."""

from __future__ import annotations

import math
from pathlib import Path

import jax.numpy as jnp


def free_memory() -> float:
    """Bytes that the default device can still give; infinite where it does not tell."""
    (device,) = jnp.zeros(()).devices()
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return float(stats["bytes_limit"] - stats["bytes_in_use"])
    info = Path("/proc/meminfo")
    if device.platform != "cpu" or not info.exists():
        return math.inf
    return min(_numbers(info)["MemAvailable:"] * 1024, _left_in_container())


def _left_in_container() -> float:
    """What a limit of control groups leaves, pages of files not counted, which the system gives up when asked."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text()) - _numbers(group / "memory.stat")["file"]
    except (OSError, KeyError, ValueError):
        return math.inf
    return math.inf if limit == "max" else float(int(limit) - used)


def _numbers(path: Path) -> dict[str, float]:
    """The second word of every line by the first."""
    words = [line.split() for line in path.read_text().splitlines()]
    return {line[0]: float(line[1]) for line in words if len(line) > 1}
