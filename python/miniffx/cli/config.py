"""Config files: TOML, checked key by key before anything is computed."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def key(default: Any, help: str) -> Any:
    """A key of a config file: its default and what it means."""
    copied = isinstance(default, (list, dict))
    factory = {"default_factory": lambda: copy.copy(default)} if copied else {"default": default}
    return field(**factory, metadata={"help": help})


@dataclass
class Data:
    """[data]: what to learn from."""

    train: str = key("", "frames to train on, any format that ASE reads (required)")
    validation: float | str = key(0.0, "a fraction of the training frames to hold out, or a file; 0: none")
    test: str = key("", "frames to report errors on; never trained on")


@dataclass
class Descriptors:
    """[descriptors]: what the network sees."""

    recipe: str = key("default", "'default', 'behler' or 'gaussian'")
    cutoff: float = key(6.0, "Å")


@dataclass
class Network:
    """[network]: one per species."""

    hidden: list[int] = key([64, 64], "widths of the hidden layers")
    activation: str = key("silu", "silu, tanh, sigmoid, softplus, relu, linear or another of miniffx.MLP")
    bias: bool | list[bool] = key(True, "whether layers have biases, or one answer for every layer")
    species: dict = key({}, "other values for some, as { Si = { hidden = [20], activation = 'silu', bias = false } }")
    members: int = key(1, "more than one: a committee of so many, trained at once")


@dataclass
class Normalization:
    """[normalization]: how data are brought to order one."""

    energy_offsets: bool = key(True, "count energies from a least-squares sum over the atoms' species")
    energy_scale: float = key(0.0, "eV; 0: the standard deviation of what the offsets leave per atom")
    features: str = key("std", "the unit of features: 'std', 'range' (half of it) or 'none'")
    center: bool = key(True, "count features from their mean (middle, for 'range')")
    components: float = key(0.0, "principal components: how many, or a cut below 1 relative to the largest; 0: none")


@dataclass
class Charges:
    """[charges]: of every frame, learnt before the rest, and their Ewald sum."""

    steps: int = key(0, "updates of the weights; 0: the potential has no charges. The rest is as in [training]")
    hidden: list[int] = key([32, 32], "widths of the hidden layers; activation as in [network]")
    total_charge: float | str = key(0.0, "of a frame, in e; 'free': whatever the networks' charges sum to")
    accuracy: float = key(1e-4, "RMS error of the forces of the Ewald sum, in eV/Å")


@dataclass
class Training:
    """[training]: how to learn."""

    start: str = key("", "a saved model to train on; [descriptors], [network] and [normalization] are then not used")
    optimizer: str = key("adam", "'adam', 'ekf' or another of miniffx.Optimizer (mini-batches), or 'lbfgs' (whole set)")
    steps: int = key(5000, "updates of the weights")
    batch_size: int = key(8, "frames per step; 'lbfgs' takes all")
    learning_rate: float = key(0.005, "the largest; 'lbfgs' and 'ekf' have none, and none of the next four")
    schedule: str = key("cosine", "how it ends: 'cosine', 'linear', 'exponential', or 'constant'")
    final: float = key(0.0, "the fraction of the learning rate at the last step")
    warmup: int = key(-1, "steps in which the learning rate grows from 0; -1: 100, in short runs a tenth of the steps")
    clip: float = key(0.0, "the longest gradient (global norm); 0: any")
    options: dict = key({}, "further arguments of the optimizer, as in optax: { b1 = 0.95 }")
    average: float = key(-1.0, "decay per step of averaged weights; 0: no averages; -1: 0.999, for 'lbfgs' none")
    patience: int = key(0, "stop after so many steps without a better validation score; 0: never")
    force_fraction: float = key(1.0, "part of the frames of a mini-batch whose forces and stress are looked at")
    memory: float = key(0.0, "GiB for what forces need; beyond that every step computes it; 0: half of what is free")
    energy_weight: float = key(1.0, "of squared energy errors, in (eV/atom)^-2")
    force_weight: float = key(0.03, "of squared force errors, in (eV/Å)^-2; 0 learns no forces")
    stress_weight: float = key(0.0, "of squared stress errors, in (eV/Å³)^-2")
    partial_energy_weight: float = key(0.0, "of squared errors of the energies of atoms, in eV^-2")
    huber: float = key(0.0, "weighted errors beyond this count linearly (miniffx.LossWeights); 0: none do")
    seed: int = key(0, "of the initial weights, the validation split and the order of batches")


@dataclass
class Output:
    """[output]: what is left."""

    folder: str = key(".", "for model, checkpoint (.safetensors), log (.jsonl), errors (.json), pictures (.png)")
    plots: bool = key(False, "draw the pictures while training, too")


@dataclass
class Config:
    """A whole config file.

    Attributes:
        base: the folder that relative paths start from.
    """

    data: Data = field(default_factory=Data)
    descriptors: Descriptors = field(default_factory=Descriptors)
    network: Network = field(default_factory=Network)
    normalization: Normalization = field(default_factory=Normalization)
    charges: Charges = field(default_factory=Charges)
    training: Training = field(default_factory=Training)
    output: Output = field(default_factory=Output)
    base: Path = Path(".")


SECTIONS: dict[str, type] = {
    "data": Data,
    "descriptors": Descriptors,
    "network": Network,
    "normalization": Normalization,
    "charges": Charges,
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
    files = {f"data.{name}": getattr(config.data, name) for name in ("train", "validation", "test")}
    for name, value in (files | {"training.start": config.training.start}).items():
        if isinstance(value, str) and value and not (config.base / value).is_file():
            raise FileNotFoundError(f"{path}: `{name}` must be a file, got {value}, which does not exist")
    return config


def describe_keys() -> str:
    """All sections and keys with their defaults: itself a valid config file, but for the missing `data.train`."""
    lines = []
    for section, make in SECTIONS.items():
        lines.append(f"[{section}]")
        for item in dataclasses.fields(make()):
            value = getattr(make(), item.name)
            lines.append(f"{f'{item.name} = {_toml(value)}':<32}# {item.metadata['help']}")
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
        if kind.startswith("list"):
            return isinstance(item, list) and all(fits(element, kind[5:-1]) for element in item)
        if kind == "dict":
            return isinstance(item, dict)
        if isinstance(item, bool) or kind == "bool":
            return isinstance(item, bool) and kind == "bool"
        return isinstance(item, int if kind == "int" else str if kind == "str" else (int, float))

    numbers = value if isinstance(value, list) else [value]
    if any(isinstance(item, int | float) and not abs(item) < LARGEST for item in numbers):
        raise ValueError(f"`{name}` must be finite and smaller than {LARGEST}, got {value!r}")
    kinds = annotation.split(" | ")
    if not any(fits(value, kind) for kind in kinds):
        words = {
            "int": "a whole number",
            "float": "a number",
            "str": "a string",
            "bool": "true or false",
            "dict": "a table",
            "list[int]": "a list of whole numbers",
            "list[bool]": "a list of true and false",
        }
        raise ValueError(f"`{name}` must be {' or '.join(words[kind] for kind in kinds)}, got {value!r}")
    return float(value) if "float" in kinds and isinstance(value, int) and not isinstance(value, bool) else value


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
    for name in ("steps", "batch_size"):
        require(getattr(training, name) > 0, f"training.{name}", "positive", getattr(training, name))
    for name in ("energy_weight", "force_weight", "stress_weight", "partial_energy_weight"):
        value = getattr(training, name)
        require(value >= 0, f"training.{name}", "finite and not negative", value)
    weights = sum(getattr(training, f"{name}_weight") for name in ("energy", "force", "stress", "partial_energy"))
    require(weights > 0, "training.energy_weight", "positive where the others are 0", training.energy_weight)
    require(training.seed >= 0, "training.seed", "not negative", training.seed)
    require(training.patience >= 0, "training.patience", "not negative", training.patience)
    require(training.warmup >= -1, "training.warmup", "a number of steps, or -1", training.warmup)
    average = training.average
    require(0 <= average < 1 or average == -1, "training.average", "in [0, 1), or -1", average)
    require(training.memory >= 0, "training.memory", "at least 0", training.memory)
    require(0 < training.force_fraction <= 1, "training.force_fraction", "in (0, 1]", training.force_fraction)
    validated = bool(data.validation)
    require(validated or not training.patience, "training.patience", "0 without data.validation", training.patience)
    require(network.members >= 1, "network.members", "positive", network.members)
    charges = config.charges
    require(charges.steps >= 0, "charges.steps", "not negative", charges.steps)
    asked = charges.steps > 0 or charges == Charges()
    require(asked, "charges.steps", "positive where [charges] says anything else", charges.steps)
    require(all(width > 0 for width in charges.hidden), "charges.hidden", "positive widths", charges.hidden)
    total = charges.total_charge
    known = total == "free" or isinstance(total, float)
    require(known, "charges.total_charge", "a finite number or 'free'", total)
    require(charges.accuracy > 0, "charges.accuracy", "positive, in eV/Å", charges.accuracy)
    names = ("hidden", "activation", "bias")
    types = {item.name: str(item.type) for item in dataclasses.fields(network)}
    for label, entries in network.species.items():
        require(isinstance(entries, dict), f"network.species.{label}", "a table", entries)
        for name, value in entries.items():
            _known(f"key in network.species.{label}", name, names)
            _checked(f"network.species.{label}.{name}", value, types[name])
    for section, make in (("training", optimizer), ("training", loss_weights), ("normalization", normalization)):
        try:
            make(config)
        except ValueError as error:
            raise ValueError(f"[{section}]: {error}") from error


# The objects that sections stand for: their own checks are those of the keys.


def optimizer(config: Config) -> Any:
    """The optimizer of [training]."""
    from miniffx.training import Optimizer

    training = config.training
    if training.optimizer in ("lbfgs", "ekf"):
        return Optimizer(training.optimizer, options=training.options)
    return Optimizer(
        training.optimizer,
        learning_rate=training.learning_rate,
        schedule=training.schedule,
        final=training.final,
        warmup=None if training.warmup < 0 else training.warmup,
        clip=training.clip or None,
        options=training.options,
    )


def loss_weights(config: Config) -> Any:
    """The weights of [training]."""
    from miniffx.training import LossWeights

    training = config.training
    return LossWeights(
        energy=training.energy_weight,
        forces=training.force_weight,
        stress=training.stress_weight,
        partial_energies=training.partial_energy_weight,
        huber=training.huber or None,
    )


def normalization(config: Config) -> Any:
    """What [normalization] says; None where it says nothing else than a fit does by itself."""
    from miniffx.models import Normalization as Wanted

    section = config.normalization
    components = int(section.components) if section.components >= 1 else section.components or None
    if section.components >= 1 and components != section.components:
        raise ValueError(f"`components` must be a whole number or a fraction below 1, got {section.components}")
    return Wanted(
        energy_offsets=section.energy_offsets,
        energy_scale=section.energy_scale or None,
        features=section.features,
        center=section.center,
        components=components,
    )


LARGEST = 2**31  # of all numbers
RECIPES = ("default", "behler", "gaussian")


def _one_of(names: Any) -> str:
    return "one of " + ", ".join(names)


def _toml(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        content = ", ".join(f"{_toml(name)} = {_toml(item)}" for name, item in value.items())
        return f"{{ {content} }}" if content else "{}"
    return str(value)
