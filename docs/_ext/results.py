"""The benchmarks page: what is in benchmarks/results, as tables and pictures."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from IPython.display import Image, Markdown, display

MACHINE = ("processor", "cores", "memory_GiB", "device", "python")
LONG = 40  # characters of a cell
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
shown = set()


def show(name: str) -> None:
    """A result, with its command and its machine; `name` is a path below benchmarks/results."""
    shown.add(name)
    path = BENCHMARKS / "results" / f"{name}.json"
    record = json.loads(path.read_text())
    what = str(record.get("what", "")) if isinstance(record, dict) else ""
    display(Markdown(f"{what[:1].upper()}{what[1:]}\n\n```sh\n{command(BENCHMARKS, path.stem)}\n```"))
    own = path.with_suffix(".md")  # the script's own table
    if path.stem in RENDERERS:
        RENDERERS[path.stem](record, path.parent)
    elif own.exists():
        display(Markdown(own.read_text()))
    else:
        anything(record)
    machine = record.get("machine") if isinstance(record, dict) else None
    if machine:
        display(Markdown(f"*{describe(machine, record)}*"))


def show_others() -> None:
    """All results that no section of the page shows: what a new script writes is listed without a word about it."""
    for path in sorted((BENCHMARKS / "results").glob("*.json")):
        if path.stem not in shown:
            display(Markdown(f"**{label(path.stem).capitalize()}**"))
            show(path.stem)


def command(benchmarks: Path, name: str) -> str:
    """What makes a result: the first command in the docstring of its script without options."""
    script = benchmarks / f"{name}.py"
    if not script.exists():
        return f"# benchmarks/results/{name}.json"
    docstring = script.read_text().split('"""')[1]
    found = re.search(r"^\s+((?:\w+=\S+ )*python benchmarks/.*)$", docstring, re.MULTILINE)
    return re.split(r"\s+[\[#]", found.group(1))[0] if found else f"python benchmarks/{name}.py"


def describe(machine: dict[str, Any], record: dict[str, Any]) -> str:
    """The machine and the versions in one sentence."""
    processor = f"{machine.get('processor')}, {machine.get('cores')} cores, {machine.get('memory_GiB')} GiB"
    threads = f", {record['threads']} threads" if "threads" in record else ""
    versions = ", ".join(f"{name} {version}" for name, version in machine.get("versions", {}).items())
    return f"{processor}{threads}, device {machine.get('device')}, Python {machine.get('python')}; {versions}."


# -- results that have a form of their own ---------------------------------------------------------------------


def neighbors(record: dict[str, Any], folder: Path) -> None:
    """Nanoseconds per pair, the picture that the script makes, and where others are faster."""
    rows = []
    for entry in record["results"]:
        times = {name: result["ns"]["median"] for name, result in entry["programs"].items()}
        shown = {name: f"{time:.3g}" if time < 100 else f"{time:.0f}" for name, time in times.items()}
        rows.append({"": entry["system"], "atoms": f"{entry['atoms']:,}".replace(",", "\u202f"), **shown})
    display(Markdown("Medians, nanoseconds per pair; less is better.\n\n" + table(rows)))
    picture = folder / "neighbors.png"
    if picture.exists():
        display(Image(str(picture)))
    lost = []
    for entry in record["results"]:
        times = {name: result["ns"]["median"] for name, result in entry["programs"].items()}
        ours = {name: times.pop(name) for name in list(times) if name.startswith("miniffx")}
        best = min(times, key=times.__getitem__)
        lost += [
            f"- {entry['system']}, {entry['atoms']} atoms: {best} takes {times[best]:.3g} ns, {name} {time:.3g} ns"
            for name, time in ours.items()
            if times[best] < time
        ]
    text = "Where a rival is faster:\n\n" + "\n".join(lost) if lost else "No rival is faster in any of these cases."
    display(Markdown(text))


def accuracy(record: dict[str, Any], folder: Path) -> None:
    """Errors on the test frames, for each seed."""
    rows = []
    for name, run in ((case["name"], run) for case in record["cases"] for run in case["runs"]):
        test = run["test"]
        rows.append(
            {
                "": name,
                "seed": run["seed"],
                "wall time (s)": f"{run['seconds']:.0f}",
                **{
                    f"{what} {kind.upper()} ({unit})": f"{1e3 * test[f'{key}_{kind}']:.1f}"
                    for what, key, unit in (("energy", "energy", "meV/atom"), ("forces", "force", "meV/Å"))
                    for kind in ("mae", "rmse")
                },
            }
        )
    text = (
        "`miniffx fit examples/silicon.toml` and `examples/molybdenum.toml`, which name data and cutoff and leave all "
        "else to the defaults: DFT frames, Y. Zuo et al., J. Phys. Chem. A 124, 731 (2020), which `examples/mlearn.py` "
        "makes from what the authors publish. Errors on the test frames, which are never trained on.\n\n"
    )
    display(Markdown(text + table(rows)))


def molecular_dynamics(record: dict[str, Any], folder: Path) -> None:
    """One line for each skin."""
    rows = [
        {
            "skin (Å)": run["skin"],
            "ms per step": f"{run['ms_per_step']:.2f}",
            "searches": f"{run['rebuilds']} in {run['steps']} steps",
            "energy drift (µeV/atom/ns)": f"{1e6 * run['energy_drift_eV_per_atom_per_ns']:.2f}",
            "energy deviation (µeV/atom)": f"{1e6 * run['energy_deviation_eV_per_atom']:.2f}",
        }
        for run in record["runs"]
    ]
    display(Markdown(table(rows)))


def energies(record: dict[str, Any], folder: Path) -> None:
    """The script's own table and picture, what bounds it, a sum and its terms, charges."""
    import energies as script

    text = (
        "LJ is Lennard-Jones argon (8.5 Å), SW Stillinger–Weber silicon. Medians, the list after +; less is better. "
        "Empty: too large for the program.\n\n"
    )
    display(Markdown(text + script.table(record)))
    picture = folder / "energies.png"
    if picture.exists():
        display(Image(str(picture)))
    rows = [{"": name, **found} for name, found in record["bounds"].items()]
    rates = record["rates"]
    text = (
        "What bounds it: bytes and operations counted by hand, per atom, at "
        f"{rates['GB_per_s']:.3g} GB/s and {rates['Gflop_per_s']:.3g} Gflop/s, measured in the same run.\n\n"
    )
    display(Markdown(text + table(rows)))
    sums = record["sums"]
    text = (
        f"A sum of three pair terms takes {sums['us_per_atom']['sum']['median']:.3g} µs per atom, its terms one by one "
        f"{sums['terms_one_by_one_us']:.3g}."
    )
    if "charges" in record:
        found = record["charges"]
        text += (
            f" An Ewald sum over {found['atoms']} charges, asked for {found['accuracy_eV_per_A']:g} eV/Å and good to "
            f"{found['error_of_forces_eV_per_A']:.1e}: energy and forces in {found['energy_and_forces_s']:.2f} s, the "
            f"list in {found['list_s']:.2f} s, its cutoffs chosen in {found['choosing_cutoffs_s']:.2f} s."
        )
    display(Markdown(text))


def descriptors(record: dict[str, Any], folder: Path) -> None:
    """A line for each case and program."""
    rows = [
        {
            "": case,
            "atoms": found["atoms"],
            "what": name,
            "median": f"{times['median']:.1f}",
            "spread": f"{times['min']:.1f} – {times['max']:.1f}",
        }
        for case, found in record["results"].items()
        for name, times in found["us_per_atom"].items()
    ]
    display(Markdown(table(rows)))


def featurize(record: dict[str, Any], folder: Path) -> None:
    """A line for each set and size, and what the device can do at best."""
    rows = []
    for result in record["results"]:
        batch = result["of_a_batch"]
        rows.append(
            {
                "": result["case"] + (", Jacobians" if result["jacobian"] else ""),
                "atoms": f"{result['atoms']:,}".replace(",", "\u202f"),
                "all of it (s)": f"{result['whole_s']['median']:.3g}",
                "µs per atom": f"{result['whole_us_per_atom']:.3g}",
                "first call (s)": f"{result['first_call_s']:.3g}",
                "one batch, atoms": batch["atoms"],
                "its lists": _short(batch["lists_us_per_atom"]),
                "transfer": _short(batch["transfer_us_per_atom"]),
                "descriptors": _short(batch["descriptors_us_per_atom"]),
            }
            | {unit: f"{batch[key]:.0f}" for key, unit in RATES.items() if key in batch}
        )
    limits = record["limits"]
    text = (
        "\n\nLists (on the host), transfer and descriptors of one batch are µs per atom, one after the other; in all "
        f"of it they overlap. A copy reaches {limits['copy_GB_per_s']:.0f} GB/s here, a product of matrices "
        f"{limits['product_GFLOP_per_s']:.0f} GFLOP/s."
    )
    if any("GB_per_s" in result["of_a_batch"] for result in record["results"]):
        text += " Operations and bytes are those that XLA counts in the program of the descriptors."
    display(Markdown(table(rows) + text))


def training(record: dict[str, Any], folder: Path) -> None:
    """A line for each model and size."""
    rows = [
        {
            "": result["case"],
            "frames": result["frames"],
            "stored (GB)": f"{result['stored_GB']:.3g}",
            "reading it (ms)": f"{result['reading_ms']['median']:.3g}",
            "loss and gradient (ms)": _median(result["loss_and_gradient_ms"]),
            "in readings": _median(result["in_readings"]),
            "step on 8 frames (ms)": _median(result["step_of_8_ms"]),
            "on 64": _median(result["step_of_64_ms"]),
            "descriptors (s)": f"{result['descriptors_s']:.3g}",
            "compilation (s)": f"{result['compilation_s']:.3g}",
        }
        for result in record["results"]
    ]
    display(Markdown(table(rows)))


RATES = {"GFLOP_per_s": "GFLOP/s", "GB_per_s": "GB/s"}


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def _median(times: Any) -> str:
    value = times["median"] if isinstance(times, dict) else times
    return value if isinstance(value, str) else f"{value:.3g}"


RENDERERS = {
    "featurize": featurize,
    "training": training,
    "neighbors": neighbors,
    "energies": energies,
    "descriptors": descriptors,
    "accuracy": accuracy,
    "molecular_dynamics": molecular_dynamics,
}


# -- any other -------------------------------------------------------------------------------------------------


def anything(record: Any) -> None:
    """A table for every list of records, and one for the numbers beside them."""
    if not isinstance(record, dict):
        record = {"results": record}
    single: dict[str, Any] = {}
    for key, value in record.items():
        if key in ("machine", "what", "threads"):
            continue
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            display(Markdown(f"**{label(key)}**\n\n{table([flat(item) for item in value])}"))
        elif isinstance(value, dict) and value and all(map(_records, value.values())):
            rows = [{"": name, **flat(item)} for name, items in value.items() for item in _records(items)]
            display(Markdown(f"**{label(key)}**\n\n{table(rows)}"))
        else:
            single |= flat({key: value})
    if single:
        display(Markdown(table([{"": name, "value": value} for name, value in single.items()])))


def _records(value: Any) -> list[dict[str, Any]]:
    """A record, or several, as a list; empty for anything else."""
    items = value if isinstance(value, list) else [value]
    return items if all(isinstance(item, dict) for item in items) else []


def flat(item: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys in one row; lists of numbers by their length."""
    row: dict[str, Any] = {}
    for key, value in item.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            row |= flat(value, f"{name} ")
        elif isinstance(value, list) and len(str(value)) > LONG:
            row[name] = f"{len(value)} values"
        else:
            row[name] = value
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as markdown; columns are all keys in the order in which they come."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(map(label, columns)) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cell(row.get(column, "")) for column in columns) + " |" for row in rows]
    return "\n".join(lines)


def label(key: str) -> str:
    """A key as words."""
    return re.sub(r"\bus\b", "µs", key.replace("_", " ").replace("|", "\\|"))


def cell(value: Any) -> str:
    """A value as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("|", "\\|").replace("\n", " ")
