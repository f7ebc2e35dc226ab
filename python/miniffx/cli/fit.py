"""``miniffx fit``: from a config file to a model, its errors and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
from matplotlib.figure import Figure

import miniffx as mff
from miniffx.cli.config import Config
from miniffx.io.files import replacing

MODEL, HISTORY, ERRORS = "model.safetensors", "history.json", "errors.json"
CONVERGENCE, PARITY = "convergence.png", "parity.png"


def fit_from_config(config: Config) -> mff.NNPotential:
    """Train as the config says; write the model, the history, the errors and pictures; print what matters."""
    folder = config.base / config.output.folder
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`output.folder` must be a folder, got {folder}, which is a file")
    train, validation, test = _read_data(config)

    recipe = {"default": mff.descriptors.default_set, "behler": mff.descriptors.behler_set}[config.descriptors.recipe]
    descriptors = recipe(train, cutoff=config.descriptors.cutoff)
    model = mff.NNPotential.init(
        jax.random.key(config.training.seed),
        descriptors,
        hidden=config.network.hidden,
        activation=config.network.activation,
    )
    print(f"training on   {train}")
    if validation is not None:
        print(f"validating on {validation}")
    for label in model.species:
        print(
            f"descriptors   {len(descriptors.of(label))} of {label}, up to {descriptors.cutoff:g} Å; network "
            f"{'-'.join(str(width) for width in (len(descriptors.of(label)), *config.network.hidden, 1))}"
        )
    lbfgs = config.training.optimizer == "lbfgs"
    result = mff.fit(
        model,
        train,
        validation,
        optimizer=config.training.optimizer,
        weights=mff.LossWeights(energy=config.training.energy_weight, forces=config.training.force_weight),
        steps=config.training.steps,
        batch_size=None if lbfgs else config.training.batch_size,
        seed=config.training.seed,
    )
    if validation is not None:
        print(f"best step     {result.best_step} of {config.training.steps}, by the validation errors")

    folder.mkdir(parents=True, exist_ok=True)
    result.model.save(folder / MODEL)
    errors = {"train": mff.evaluate(result.model, train)}
    if validation is not None:
        errors["validation"] = mff.evaluate(result.model, validation)
    if test is not None:
        errors["test"] = mff.evaluate(result.model, test)
    write_json(folder / HISTORY, result.history)
    write_json(folder / ERRORS, {name: vars(value) for name, value in errors.items()})
    save_figure(mff.plot.convergence(result.history).figure, folder / CONVERGENCE)
    figure = Figure(figsize=(9.2, 4.8), layout="constrained")
    shown = next(data for data in (test, validation, train) if data is not None)
    left, right = figure.subplots(1, 2)
    mff.plot.parity(result.model, shown, "energy", ax=left)
    if shown.has_forces:
        mff.plot.parity(result.model, shown, "forces", ax=right)
    save_figure(figure, folder / PARITY)

    print(error_table(errors))
    print(f"written to {folder}: {', '.join((MODEL, HISTORY, ERRORS, CONVERGENCE, PARITY))}")
    return result.model


def error_table(errors: dict[str, mff.Errors]) -> str:
    """Errors of several data sets, one line each."""
    lines = [f"{'errors':<12}{'frames':>7}{'energy MAE':>14}{'RMSE':>8}{'force MAE':>13}{'RMSE':>8}"]
    for name, e in errors.items():
        line = f"{name:<12}{e.n_frames:>7}{1e3 * e.energy_mae:>14.2f}{1e3 * e.energy_rmse:>8.2f}"
        if e.force_mae is not None and e.force_rmse is not None:
            line += f"{1e3 * e.force_mae:>13.1f}{1e3 * e.force_rmse:>8.1f}"
        lines.append(line)
    lines.append(f"{'':<19}{'meV/atom':>14}{'':>8}{'meV/Å':>13}")
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
        train, validation = train.split(float(config.data.validation), seed=config.training.seed)
    for name, data in (("validation", validation), ("test", test)):
        unknown = sorted(set(data.species) - set(train.species)) if data is not None else []
        if unknown:
            raise ValueError(
                f"`data.{name}` must hold only species of `data.train` ({', '.join(train.species)}), "
                f"got {', '.join(unknown)}"
            )
    return train, validation, test
