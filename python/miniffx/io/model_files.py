"""Model files: tensor files (tensor_files.py) with the model's structure as JSON in the header.

The header's metadata hold

    format      "miniffx-model"
    version     "1"
    units       {"energy": "eV", "length": "angstrom"}
    model       the tree: dataclasses by name with their fields, tuples as lists, numbers, strings;
                arrays as {"tensor": name}, stored under that name

A float is written with all its digits, an array byte by byte: a loaded model predicts the same bits.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import descriptors, models, potentials
from miniffx.io.tensor_files import read_tensors, write_tensors

FORMAT = "miniffx-model"
VERSION = "1"
UNITS = {"energy": "eV", "length": "angstrom"}

# The only classes that a file can name.
KNOWN: dict[str, type] = {
    name: item
    for module in (models, descriptors, potentials)
    for name, item in vars(module).items()
    if isinstance(item, type) and dataclasses.is_dataclass(item)
}


def save_model(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a model: a trainable one, or any sum of the library's potentials.

    Raises:
        ValueError: the model holds something that is not data, such as a Python function.
    """
    tensors: dict[str, np.ndarray] = {}
    tree = _encode(model, "model", tensors)
    write_tensors(path, FORMAT, VERSION, tensors, {"units": json.dumps(UNITS), "model": json.dumps(tree)})


def load_model(path: str | os.PathLike[str]) -> Any:
    """Read what :func:`save_model` wrote.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged file, a file of another kind or with other units, or of a later version of the format.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"`path` must be a model file, got {path}, which does not exist")
    tensors, metadata = read_tensors(path, FORMAT, VERSION, "miniffx model")
    try:
        if (units := json.loads(metadata["units"])) != UNITS:
            raise ValueError(f"its units are {units}, not {UNITS}")
        model = _decode(json.loads(metadata["model"]), tensors)
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} does not hold a complete model: {error}") from error
    if not isinstance(model, potentials.Energy | models.ChargeModel):
        raise ValueError(f"{path} does not hold a complete model: {type(model).__name__} is none")
    return model


def _encode(item: Any, name: str, tensors: dict[str, np.ndarray]) -> Any:
    if item is None or isinstance(item, (bool, int, float, str)):
        return item
    if isinstance(item, (np.ndarray, np.generic, jax.Array)):
        tensors[name] = np.array(item, order="C")  # not ascontiguousarray, which makes a vector of a scalar
        return {"tensor": name}
    if isinstance(item, tuple):
        return [_encode(value, f"{name}.{index}", tensors) for index, value in enumerate(item)]
    if type(item) in KNOWN.values():
        fields = {
            field.name: _encode(getattr(item, field.name), f"{name}.{field.name}", tensors)
            for field in dataclasses.fields(item)
        }
        return {"type": type(item).__name__, "fields": fields}
    raise ValueError(f"`model` must consist of numbers and the library's own parts to be saved, got {item!r} at {name}")


def _decode(item: Any, tensors: dict[str, np.ndarray]) -> Any:
    if isinstance(item, list):
        return tuple(_decode(value, tensors) for value in item)
    if not isinstance(item, dict):
        return item
    if "tensor" in item:
        return jnp.asarray(tensors[item["tensor"]])
    if item.get("type") not in KNOWN:
        raise ValueError(f"unknown part {item.get('type')!r}")
    return KNOWN[item["type"]](**{name: _decode(value, tensors) for name, value in item["fields"].items()})
