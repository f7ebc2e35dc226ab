"""Checkpoints: all that a fit needs to go on as if nothing had happened, in a tensor file (io/tensor_files.py).

The header's metadata hold

    format      "miniffx-checkpoint"
    version     "1"
    progress    JSON: step, best score and step, history
    origin      JSON: digests of the data, the model and the settings, by name

and the tensors are the leaves of the state and of the best parameters, named by their paths.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx.io.tensor_files import read_tensors, write_tensors

FORMAT = "miniffx-checkpoint"
VERSION = "1"


def save_checkpoint(
    path: str | os.PathLike[str], tree: Any, progress: Mapping[str, Any], origin: Mapping[str, str]
) -> None:
    """Write a checkpoint; the file appears whole or not at all, and until then the old one stays."""
    tensors = {name: _to_array(leaf) for name, leaf in _named(tree)}
    metadata = {"progress": json.dumps(progress), "origin": json.dumps(origin)}
    write_tensors(path, FORMAT, VERSION, tensors, metadata)


def load_checkpoint(
    path: str | os.PathLike[str], template: Any, origin: Mapping[str, str]
) -> tuple[Any, dict[str, Any]]:
    """(a tree like `template` with the saved leaves, progress). Removes what a killed process left half-written.

    Raises:
        ValueError: a damaged file, one of another kind or version, or of a fit with other data or settings; the
            message names what differs.
    """
    path = Path(path)
    for leftover in path.parent.glob(f".{path.name}.*"):
        leftover.unlink(missing_ok=True)
    tensors, metadata = read_tensors(path, FORMAT, VERSION, "miniffx checkpoint")
    try:
        made_with, progress = json.loads(metadata["origin"]), json.loads(metadata["progress"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} does not hold a complete checkpoint: {error}") from error
    changed = [name for name in origin if made_with.get(name) != origin[name]]
    if changed:
        was, now = made_with.get(changed[0]), origin[changed[0]]
        raise ValueError(
            f"{path} was made by a fit with another `{changed[0]}`: {was}, now {now}; go on with that, "
            "or start anew without `resume`"
        )
    leaves = []
    for name, leaf in _named(template):
        if name not in tensors or tensors[name].shape != _to_array(leaf).shape:
            raise ValueError(f"{path} does not fit this optimizer and model: {name} is missing or of another shape")
        leaves.append(_like(leaf, tensors[name]))
    return jax.tree.unflatten(jax.tree.structure(template), leaves), progress


def digest(*parts: Any) -> str:
    """A short fingerprint of trees of arrays and of what else has a repr; equal for equal bits."""
    result = hashlib.sha256()
    for part in parts:
        leaves, structure = jax.tree.flatten(part)
        result.update(str(structure).encode())
        for leaf in leaves:
            if isinstance(leaf, np.ndarray | np.generic | jax.Array):
                array = _to_array(leaf)
                result.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
            else:
                result.update(repr(leaf).encode())
    return result.hexdigest()[:16]


def _named(tree: Any) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _to_array(leaf: Any) -> np.ndarray:
    # Not ascontiguousarray, which makes a vector of a scalar.
    return np.array(jax.random.key_data(leaf) if _is_key(leaf) else leaf, order="C")


def _like(leaf: Any, array: np.ndarray) -> Any:
    if _is_key(leaf):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(leaf))
    return jnp.asarray(array)
