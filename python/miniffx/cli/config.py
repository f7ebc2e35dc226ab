"""Config files: TOML, checked key by key before anything is computed."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def key(default: Any, help: str) -> Any:
    """A key of a config file: its default and what it means."""
    factory = {"default_factory": lambda: list(default)} if isinstance(default, list) else {"default": default}
    return field(**factory, metadata={"help": help})


@dataclass
class Data:
    """[data]: what to learn from."""

    train: str = key("", "frames to train on, any format that ASE reads (required)")
    validation: float | str = key(0.1, "a fraction of the training frames held out, or a file")
    test: str = key("", "frames to report errors on; never trained on")


@dataclass
class Descriptors:
    """[descriptors]: what the network sees."""

    recipe: str = key("default", "'default' or 'behler'")
    cutoff: float = key(6.0, "Å")


@dataclass
class Network:
    """[network]: one per species."""

    hidden: list[int] = key([48, 48], "widths of the hidden layers")
    activation: str = key("tanh", "tanh, sigmoid, softplus, silu, relu, linear or another of miniffx.MLP")


@dataclass
class Training:
    """[training]: how to learn."""

    optimizer: str = key("adam", "'adam' (mini-batches) or 'lbfgs' (whole set per step)")
    steps: int = key(12000, "updates of the weights")
    batch_size: int = key(8, "frames per step of adam")
    energy_weight: float = key(1.0, "of squared energy errors, in (eV/atom)^-2")
    force_weight: float = key(0.03, "of squared force errors, in (eV/Å)^-2; 0 learns energies alone")
    seed: int = key(0, "of the initial weights, the validation split and the order of batches")


@dataclass
class Output:
    """[output]: what is left."""

    folder: str = key(".", "for model.safetensors, history.json, errors.json, convergence.png, parity.png")


@dataclass
class Config:
    """A whole config file.

    Attributes:
        base: the folder that relative paths start from.
    """

    data: Data = field(default_factory=Data)
    descriptors: Descriptors = field(default_factory=Descriptors)
    network: Network = field(default_factory=Network)
    training: Training = field(default_factory=Training)
    output: Output = field(default_factory=Output)
    base: Path = Path(".")


SECTIONS: dict[str, type] = {
    "data": Data,
    "descriptors": Descriptors,
    "network": Network,
    "training": Training,
    "output": Output,
}


def read_config(path: Path) -> Config:
    """Read and check a config file.

    Raises:
        FileNotFoundError: the file, or one that it names, does not exist.
        ValueError: it is not TOML, or has an unknown key, a wrong type or an impossible value; the message names it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"`config` must be a TOML file, got {path}, which does not exist")
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error
    try:
        config = _from_tree(tree)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    config.base = path.parent
    for name in ("train", "validation", "test"):
        value = getattr(config.data, name)
        if isinstance(value, str) and value and not (config.base / value).is_file():
            raise FileNotFoundError(f"{path}: `data.{name}` must be a file, got {value}, which does not exist")
    return config


def describe_keys() -> str:
    """All sections and keys with their defaults: itself a valid config file, but for the missing `data.train`."""
    lines = []
    for section, make in SECTIONS.items():
        lines.append(f"[{section}]")
        for item in dataclasses.fields(make()):
            value = getattr(make(), item.name)
            lines.append(f"{f'{item.name} = {_toml(value)}':<28}# {item.metadata['help']}")
        lines.append("")
    return "\n".join(lines).rstrip()


def to_toml(config: Config) -> str:
    """The config as a TOML file, with the meaning of every key beside it."""
    lines = []
    for section in SECTIONS:
        lines.append(f"[{section}]")
        part = getattr(config, section)
        for item in dataclasses.fields(part):
            lines.append(f"{f'{item.name} = {_toml(getattr(part, item.name))}':<32}# {item.metadata['help']}")
        lines.append("")
    return "\n".join(lines)


def _from_tree(tree: dict[str, Any]) -> Config:
    config = Config()
    for section, entries in tree.items():
        _known("section", section, SECTIONS)
        if not isinstance(entries, dict):
            raise ValueError(f"`{section}` must be a section, got {entries!r}")
        part = getattr(config, section)
        fields = {item.name: item for item in dataclasses.fields(part)}
        for name, value in entries.items():
            _known(f"key in [{section}]", name, fields)
            setattr(part, name, _checked(f"{section}.{name}", value, str(fields[name].type)))
    _check_values(config)
    return config


def _known(what: str, name: str, known: Any) -> None:
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        raise ValueError(f"unknown {what}: `{name}`; did you mean `{close[0]}`? Known are {', '.join(known)}")


def _checked(name: str, value: Any, annotation: str) -> Any:
    """`value` if it has the annotated type, with whole numbers accepted as floats."""

    def fits(item: Any, kind: str) -> bool:
        if kind == "list[int]":
            return isinstance(item, list) and all(fits(element, "int") for element in item)
        if isinstance(item, bool):
            return False
        return isinstance(item, int if kind == "int" else str if kind == "str" else (int, float))

    kinds = annotation.split(" | ")
    if not any(fits(value, kind) for kind in kinds):
        words = {
            "int": "a whole number",
            "float": "a number",
            "str": "a string",
            "list[int]": "a list of whole numbers",
        }
        raise ValueError(f"`{name}` must be {' or '.join(words[kind] for kind in kinds)}, got {value!r}")
    return float(value) if "float" in kinds and isinstance(value, int) else value


def _check_values(config: Config) -> None:
    """ValueError for values that have the right type but make no sense."""
    from miniffx.models.mlp import ACTIVATIONS

    def require(condition: bool, name: str, what: str, value: Any) -> None:
        if not condition:
            raise ValueError(f"`{name}` must be {what}, got {value!r}")

    data, network, training = config.data, config.network, config.training
    require(bool(data.train), "data.train", "a file", data.train)
    fraction = data.validation
    require(isinstance(fraction, str) or 0 <= fraction < 1, "data.validation", "in [0, 1) or a file", fraction)
    require(
        config.descriptors.recipe in RECIPES,
        "descriptors.recipe",
        _one_of(RECIPES),
        config.descriptors.recipe,
    )
    require(0 < config.descriptors.cutoff < 100, "descriptors.cutoff", "positive, in Å", config.descriptors.cutoff)
    require(all(width > 0 for width in network.hidden), "network.hidden", "positive widths", network.hidden)
    require(network.activation in ACTIVATIONS, "network.activation", _one_of(ACTIVATIONS), network.activation)
    require(training.optimizer in OPTIMIZERS, "training.optimizer", _one_of(OPTIMIZERS), training.optimizer)
    for name in ("steps", "batch_size"):
        require(getattr(training, name) > 0, f"training.{name}", "positive", getattr(training, name))
    for name in ("energy_weight", "force_weight"):
        value = getattr(training, name)
        require(0 <= value < float("inf"), f"training.{name}", "finite and not negative", value)
    weights = training.energy_weight + training.force_weight
    require(weights > 0, "training.energy_weight", "positive where force_weight is 0", training.energy_weight)
    require(training.seed >= 0, "training.seed", "not negative", training.seed)


RECIPES = ("default", "behler")
OPTIMIZERS = ("adam", "lbfgs")


def _one_of(names: Any) -> str:
    return "one of " + ", ".join(names)


def _toml(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)
