"""``miniffx fit``: from a config file to a model, its errors and pictures."""

from __future__ import annotations

import dataclasses
import itertools
import json
import textwrap
from pathlib import Path
from typing import Any

import jax
from matplotlib.figure import Figure

import miniffx as mff
from miniffx.cli.config import Config, loss_weights, normalization, optimizer
from miniffx.io.files import replacing
from miniffx.training.memory import free_memory

MODEL, CHECKPOINT, LOG, ERRORS = "model.safetensors", "checkpoint.safetensors", "log.jsonl", "errors.json"
CHARGES_CHECKPOINT, CHARGES_LOG = "charges-checkpoint.safetensors", "charges-log.jsonl"
CONVERGENCE, PARITY, HISTOGRAMS = "convergence.png", "parity.png", "histograms.png"


def fit_from_config(config: Config, resume: bool = False) -> Any:
    """Train as the config says; write the model, a log, the errors and pictures; print what matters."""
    folder = config.base / config.output.folder
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`output.folder` must be a folder, got {folder}, which is a file")
    train, validation, test = _read_data(config)

    model = _initial_model(config, train)
    print(f"training on   {train}")
    if validation is not None:
        print(f"validating on {validation}")
    one, members = _network(model)
    for label, network in zip(one.species, one.networks, strict=True):
        widths = [weights.shape[-2] for weights in network.weights]
        count = f" × {members}" if members > 1 else ""
        print(
            f"descriptors   {widths[0]} of {label}, up to {one.descriptors.cutoff:g} Å; network "
            f"{'-'.join(map(str, (*widths, 1)))}{count}"
        )
    training = config.training
    electrostatics = _electrostatics(config, train, validation) if config.charges.steps else None
    folder.mkdir(parents=True, exist_ok=True)
    files = [MODEL, CHECKPOINT, LOG, ERRORS, CONVERGENCE, PARITY]
    if electrostatics is not None:
        if not resume:  # or what goes on after these charges might be a former fit
            (folder / CHECKPOINT).unlink(missing_ok=True)
        charges = _fit_charges(config, model, train, validation, resume, folder)
        model = mff.ChargedPotential(model, charges, electrostatics)
        files += [CHARGES_CHECKPOINT, CHARGES_LOG]
    shown = next(data for data in (test, validation, train) if data is not None)
    history: list[Any] = []

    def draw(entry: dict[str, float], best: Any) -> None:
        history.append(entry)
        _draw(history, best, shown, folder)

    result = mff.fit(
        model,
        train,
        validation,
        weights=loss_weights(config),
        steps=training.steps,
        force_fraction=training.force_fraction,
        memory=training.memory or None,
        checkpoint=folder / CHECKPOINT,
        log=folder / LOG,
        callback=draw if config.output.plots else None,
        normalization=None if training.start else normalization(config),
        **_options(config, resume),
    )
    result.model.save(folder / MODEL)
    named = {"train": train, "validation": validation, "test": test}
    errors = {name: mff.evaluate(result.model, data) for name, data in named.items() if data is not None}
    write_json(folder / ERRORS, {name: each.numbers() for name, each in errors.items()})
    _draw(result.history, result.model, shown, folder)
    files += _draw_histograms(result.model, folder)

    print(summary(model, config, result, errors))
    print(error_table(errors))
    name, last = list(errors.items())[-1]
    if len(last.by_group()) > 1:
        print(f"\n{name}, by group\n{last.group_table()}")
    print(f"\n{name}, worst frames\n{last.worst_table(3)}\n")
    print(f"written to {folder}: {', '.join(files)}")
    return result.model


def _options(config: Config, resume: bool) -> dict[str, Any]:
    """What the fits of charges and of the rest have in common."""
    training = config.training
    return {
        "optimizer": optimizer(config),
        "batch_size": None if training.optimizer == "lbfgs" else training.batch_size,
        "seed": training.seed,
        "average": None if training.average < 0 else training.average,
        "patience": training.patience or None,
        "resume": resume,
    }


def _electrostatics(config: Config, train: mff.Dataset, validation: mff.Dataset | None) -> mff.potentials.Ewald:
    """The Ewald sum for the charges of the training data; for molecules the plain sum."""
    for name, data in (("train", train), ("validation", validation)):
        if data is not None:
            data.require(f"data.{name}", "charge")
    crystals = [frame.structure for frame in train if any(frame.structure.pbc)]
    if not crystals:
        return mff.potentials.Ewald()
    return mff.potentials.Ewald.for_structure(mff.stack(crystals), config.charges.accuracy)


def _fit_charges(
    config: Config, model: Any, train: mff.Dataset, validation: mff.Dataset | None, resume: bool, folder: Path
) -> mff.ChargeModel:
    """Trained charges on the descriptors of a model."""
    charges = config.charges
    start = mff.ChargeModel.init(
        jax.random.key(config.training.seed + 1),
        _network(model)[0].descriptors,
        charges.hidden,
        config.network.activation,
        total_charge=None if isinstance(charges.total_charge, str) else charges.total_charge,
    )
    print("charges first:")
    result = mff.fit(
        start,
        train,
        validation,
        steps=charges.steps,
        checkpoint=folder / CHARGES_CHECKPOINT,
        log=folder / CHARGES_LOG,
        normalization=dataclasses.replace(normalization(config), energy_offsets=True, energy_scale=None),
        **_options(config, resume),
    )
    print(mff.evaluate(result.model, train if validation is None else validation))
    print("then the rest:")
    charge_model: mff.ChargeModel = result.model
    return charge_model


def _network(model: Any) -> tuple[mff.NNPotential, int]:
    """The short-ranged networks of a model, of which a committee has several."""
    short_range: Any = model.short_range if isinstance(model, mff.ChargedPotential) else model
    if isinstance(short_range, mff.Committee):
        return short_range.stacked, short_range.size
    return short_range, 1


def _initial_model(config: Config, train: mff.Dataset) -> Any:
    if config.training.start:
        model = mff.load(config.base / config.training.start)
        trained = model.short_range if isinstance(model, mff.ChargedPotential) else model
        if not isinstance(trained, mff.NNPotential | mff.Committee):
            raise ValueError(f"`training.start` must be a network, got a file with a {type(model).__name__}")
        if config.charges.steps and isinstance(model, mff.ChargedPotential):
            raise ValueError(f"`charges.steps` must be 0 for a start that has charges, got {config.charges.steps}")
        return model
    recipe = getattr(mff.descriptors, f"{config.descriptors.recipe}_set")
    descriptors = recipe(train, cutoff=config.descriptors.cutoff)
    network = config.network
    unknown = sorted(set(network.species) - set(descriptors.species))
    if unknown:
        raise ValueError(
            f"`network.species` must hold only species of `data.train` ({', '.join(descriptors.species)}), "
            f"got {', '.join(unknown)}"
        )
    options = {
        name: {label: network.species.get(label, {}).get(name, getattr(network, name)) for label in descriptors.species}
        for name in ("hidden", "activation", "bias")
    }
    _require_memory(descriptors, options["hidden"], network.members)
    key = jax.random.key(config.training.seed)
    if network.members > 1:
        return mff.Committee.init(key, descriptors, members=network.members, **options)
    return mff.NNPotential.init(key, descriptors, **options)


def _require_memory(descriptors: mff.descriptors.DescriptorSet, hidden: dict[str, list[int]], members: int) -> None:
    """MemoryError if weights, their gradient, averages and what optimizers keep do not fit."""
    count = 0
    for label, widths in hidden.items():
        layers = [len(descriptors.of(label)), *widths, 1]
        count += members * sum((n + 1) * m for n, m in itertools.pairwise(layers))
    needed, free = 6 * 8 * count, free_memory()
    if needed > free:
        raise MemoryError(
            f"`network.hidden` and `network.members` make {count} weights, which need about {needed / 2**30:.3g} GiB, "
            f"of which {free / 2**30:.3g} are free"
        )


def _draw(history: list[Any], model: Any, shown: mff.Dataset, folder: Path) -> None:
    """Convergence and parity, as they stand."""
    save_figure(mff.plot.convergence(history).figure, folder / CONVERGENCE)
    figure = Figure(figsize=(9.2, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    mff.plot.parity(model, shown, "energy", ax=left)
    if shown.has_forces:
        mff.plot.parity(model, shown, "forces", ax=right)
    save_figure(figure, folder / PARITY)


def _draw_histograms(model: Any, folder: Path) -> list[str]:
    """What the model has seen of every species, side by side; the file's name.

    No file for a model that started from one of n2p2 without scaling data, of which nobody knows what it has seen.
    """
    network, _ = _network(model)
    if network.histograms is None:
        return []
    figure = Figure(figsize=(4.6 * len(network.species), 4.8), layout="constrained")
    for label, ax in zip(network.species, figure.subplots(1, len(network.species), squeeze=False)[0], strict=True):
        mff.plot.histograms(network, label, ax=ax)
    save_figure(figure, folder / HISTOGRAMS)
    return [HISTOGRAMS]


def summary(model: Any, config: Config, result: mff.FitResult, errors: dict[str, mff.Errors]) -> str:
    """What was done, in sentences for a paper."""
    one, members = _network(model)
    training, sizes = config.training, {name: (e.n_frames, e.n_atoms) for name, e in errors.items()}
    networks = ", ".join(
        f"{'-'.join(str(w.shape[-2]) for w in network.weights)}-1 ({label})"
        for label, network in zip(one.species, one.networks, strict=True)
    )
    kind = f"A committee of {members} neural-network potentials" if members > 1 else "A network"
    charged = ""
    if config.charges.steps:
        charged = (
            f", on what the Ewald sum over predicted charges leaves (networks "
            f"{'-'.join(map(str, config.charges.hidden))}-1 trained before in at most {config.charges.steps} steps)"
        )
    data = "; ".join(f"{name}: {frames} frames, {atoms} atoms" for name, (frames, atoms) in sizes.items())
    best = result.best_step if isinstance(result.best_step, int) else "/".join(map(str, result.best_step))
    chosen = f", of which step {best} is the best by the validation errors" if "validation" in errors else ""
    text = (
        f"{kind} potential per species with {networks} nodes on atom-centred descriptors up to "
        f"{one.descriptors.cutoff:g} Å ({data}), {result.model.n_weights} weights, trained by {training.optimizer} in "
        f"{result.history[-1]['step']:.0f} steps{chosen} on {_squares(training)}{charged}, "
        f"in {result.history[-1]['seconds']:.0f} s after featurization (miniffx {mff.__version__})."
    )
    return "\n".join(textwrap.wrap(text.replace("potentials potential", "potentials"), 100))


def _squares(training: Any) -> str:
    terms = {"energy": "energies per atom (eV)", "force": "force components (eV/Å)"}
    terms |= {"stress": "stress (eV/Å³)", "partial_energy": "energies of atoms (eV)"}
    parts = []
    for name, what in terms.items():
        weight = getattr(training, f"{name}_weight")
        if weight:
            parts.append(f"{weight:g} × mean squared errors of {what}")
    return " + ".join(parts)


def error_table(errors: dict[str, mff.Errors]) -> str:
    """Errors of several data sets, one line each."""
    charged = any(e.charges is not None for e in errors.values())
    title = f"{'errors':<12}{'frames':>7}{'energy MAE':>14}{'RMSE':>8}{'force MAE':>13}{'RMSE':>8}"
    lines = [title + (f"{'charge MAE':>13}{'RMSE':>8}" if charged else "")]
    for name, e in errors.items():
        line = f"{name:<12}{e.n_frames:>7}{1e3 * e.energy_mae:>14.2f}{1e3 * e.energy_rmse:>8.2f}"
        if e.force_mae is not None and e.force_rmse is not None:
            line += f"{1e3 * e.force_mae:>13.1f}{1e3 * e.force_rmse:>8.1f}"
        if e.charges is not None:
            line = f"{line:<62}{1e3 * e.charges.charge_mae:>13.2f}{1e3 * e.charges.charge_rmse:>8.2f}"
        lines.append(line)
    lines.append(f"{'':<19}{'meV/atom':>14}{'':>8}{'meV/Å':>13}" + (f"{'':>8}{'me':>13}" if charged else ""))
    return "\n".join(lines)


def write_json(path: Path, content: Any) -> None:
    """Write JSON; the file appears whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def save_figure(figure: Any, path: Path) -> None:
    """Write a PNG; the file appears whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def _read_data(config: Config) -> tuple[mff.Dataset, mff.Dataset | None, mff.Dataset | None]:
    """Training, validation and test frames, all checked before the training starts."""
    train = mff.Dataset.read(config.base / config.data.train)
    test = mff.Dataset.read(config.base / config.data.test) if config.data.test else None
    validation: mff.Dataset | None = None
    if isinstance(config.data.validation, str) and config.data.validation:
        validation = mff.Dataset.read(config.base / config.data.validation)
    elif config.data.validation:
        try:
            train, validation = train.split(float(config.data.validation), seed=config.training.seed)
        except ValueError as error:
            raise ValueError(f"`data.validation`: {error}") from error
    for name, data in (("validation", validation), ("test", test)):
        unknown = sorted(set(data.species) - set(train.species)) if data is not None else []
        if unknown:
            raise ValueError(
                f"`data.{name}` must hold only species of `data.train` ({', '.join(train.species)}), "
                f"got {', '.join(unknown)}"
            )
    return train, validation, test
