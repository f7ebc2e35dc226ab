"""Tensor files: arrays by name and a header of strings in safetensors, with a digest. No pickle: opening runs no code.

The header's metadata hold `format`, `version`, what the format adds, and

    digest      SHA-256 of all metadata and arrays, so that a file that was damaged on its way is noticed
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping

import numpy as np
import safetensors
import safetensors.numpy

from miniffx.io.files import replacing


def write_tensors(
    path: str | os.PathLike[str],
    format: str,
    version: str,
    tensors: dict[str, np.ndarray],
    metadata: Mapping[str, str],
) -> None:
    """Write a file, which appears whole or not at all; until then an older one stays."""
    metadata = {"format": format, "version": version, **metadata}
    metadata["digest"] = _digest(metadata, tensors)
    with replacing(path) as temporary:
        safetensors.numpy.save_file(tensors, temporary, metadata=metadata)


def read_tensors(
    path: str | os.PathLike[str], format: str, version: str, what: str
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """(arrays by name, metadata) of what :func:`write_tensors` wrote.

    Raises:
        ValueError: a damaged file, one of another format or version; `what` says what it should be.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # safetensors raises its own error, OSError and others for damaged files
        raise ValueError(f"{path} is not a readable {what}: {error}") from error
    if metadata.get("format") != format:
        raise ValueError(f"{path} is not a {what}: its format is {metadata.get('format')!r}, not {format!r}")
    if metadata.get("version") != version:
        found = metadata.get("version")
        raise ValueError(f"{path} has version {found} of the format of a {what}, {version} is supported")
    digest = metadata.pop("digest", None)
    if digest != _digest(metadata, tensors):
        raise ValueError(f"{path} is damaged: the {what} in it is not what was written")
    return tensors, metadata


def _digest(metadata: Mapping[str, str], tensors: Mapping[str, np.ndarray]) -> str:
    result = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
    for name, array in sorted(tensors.items()):
        result.update(json.dumps([name, array.dtype.str, array.shape]).encode() + array.tobytes())
    return result.hexdigest()
