"""What a result needs to be compared with another: the machine and the versions."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax


def machine(distributions: Iterable[str] = ()) -> dict[str, Any]:
    """Processor, cores, memory, device, versions; also those of further distributions."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_GiB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "device": str(jax.devices()[0].device_kind),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("miniffx", "jax", "jaxlib", "numpy", "optax", *distributions)},
    }
