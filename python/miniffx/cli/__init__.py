"""The command line: ``miniffx quickstart``, ``miniffx fit``, ``miniffx evaluate``, ``miniffx relax``."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code: 0, or 2 after one line that says what is wrong with the input."""
    parser = _parser()
    options = parser.parse_args(arguments)
    warnings.showwarning = _show_warning
    try:
        options.run(options)
    except (ValueError, OSError, MemoryError, OverflowError) as error:
        print(f"miniffx: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("miniffx: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    from miniffx import __version__

    parser = argparse.ArgumentParser(
        prog="miniffx",
        description="Interatomic potentials for JAX. Energies in eV, lengths in Å.",
    )
    parser.add_argument("--version", action="version", version=f"miniffx {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    quickstart = commands.add_parser(
        "quickstart",
        help="make silicon data, train on them, compare with the truth: a tour in minutes",
        description="Makes silicon structures labelled by the Stillinger-Weber potential, trains a neural-network "
        "potential on them, and compares the two. Everything is left in a folder to go on with.",
    )
    quickstart.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("quickstart"),
        help="folder to write to (default: quickstart)",
    )
    quickstart.add_argument("--seed", type=int, default=0, help="of data and network (default: 0)")
    quickstart.set_defaults(run=_quickstart)

    fit = commands.add_parser(
        "fit",
        help="train a potential as a config file says",
        description="Trains a neural-network potential on DFT frames. `miniffx quickstart` leaves a config to start "
        "from; every key is explained by `miniffx fit --keys`.",
    )
    fit.add_argument("config", type=Path, nargs="?", help="a TOML file; paths in it are relative to its folder")
    fit.add_argument("--keys", action="store_true", help="list the keys of a config file and their defaults")
    fit.add_argument("--resume", action="store_true", help="go on where a fit of the same config file was stopped")
    fit.set_defaults(run=_fit)

    evaluate = commands.add_parser(
        "evaluate",
        help="test errors of a saved model",
        description="Prints the errors of a model on frames with energies and forces (eV, eV/Å), and charges (e) where "
        "both have some.",
    )
    evaluate.add_argument("model", type=Path, help="a model file (.safetensors)")
    evaluate.add_argument("data", type=Path, help="frames in any format that ASE reads")
    evaluate.add_argument("--worst", type=int, default=0, metavar="N", help="name the N frames with the largest errors")
    evaluate.set_defaults(run=_evaluate)

    relax = commands.add_parser(
        "relax",
        help="relax structures with a saved model",
        description="Moves the atoms of every frame, and with --cell its cell too, to the nearest minimum of the "
        "energy. Atoms under ASE's FixAtoms stay where they are.",
    )
    relax.add_argument("model", type=Path, help="a model file (.safetensors)")
    relax.add_argument("input", type=Path, help="structures in any format that ASE reads")
    relax.add_argument(
        "-o", "--output", type=Path, required=True, help="extended XYZ to write, with energies and forces"
    )
    relax.add_argument("--cell", action="store_true", help="relax the cell, too, to stresses below 1e-5 eV/Å³")
    relax.add_argument("--fmax", type=float, default=1e-3, help="largest force left, in eV/Å (default: 0.001)")
    relax.add_argument("--steps", type=int, default=1000, help="at most so many (default: 1000)")
    relax.set_defaults(run=_relax)
    return parser


# The commands import what they need themselves: --help and a misspelt option should not wait for JAX.


def _quickstart(options: Any) -> None:
    from miniffx.cli.quickstart import quickstart

    quickstart(options.output, options.seed)


def _fit(options: Any) -> None:
    from miniffx.cli.config import describe_keys, read_config
    from miniffx.cli.fit import fit_from_config

    if options.keys:
        print(describe_keys())
    elif options.config is None:
        raise ValueError("`config` must be a TOML file, got none")
    else:
        fit_from_config(read_config(options.config), resume=options.resume)


def _evaluate(options: Any) -> None:
    import miniffx as mff

    if options.worst < 0:
        raise ValueError(f"`worst` must not be negative, got {options.worst}")
    errors = mff.evaluate(mff.load(options.model), mff.Dataset.read(options.data))
    print(errors)
    if isinstance(errors, mff.training.ChargeErrors):
        return
    if len(errors.by_group()) > 1:
        print(f"\nby group\n{errors.group_table()}")
    if options.worst:
        print(f"\nworst frames\n{errors.worst_table(options.worst)}")


def _relax(options: Any) -> None:
    from miniffx.cli.relax import relax_file

    relax_file(options.model, options.input, options.output, options.cell, options.fmax, options.steps)


def _show_warning(message: Any, category: Any, filename: Any, lineno: Any, file: Any = None, line: Any = None) -> None:
    print(f"miniffx: warning: {message}", file=sys.stderr)
