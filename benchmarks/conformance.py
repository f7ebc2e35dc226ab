"""Whose neighbour lists are complete: the cases of tests/conformance.py for miniffx and for other programs.

    python benchmarks/conformance.py [--programs miniffx ase vesin matscipy jax-md] [--stride 1]

Every program gets each case in double precision through its documented interface, in a process of its own. Its list is

- right, if it holds the pairs (i, j, shift) that trying all images finds. Pairs closer to the cutoff than rounding may
  be in or out, except where all numbers are exact: there those at the cutoff have to be treated alike;
- refused, if the program says that it does not take the input;
- failed, if it is wrong, or if the program crashes, raises what does not say so, or needs more than 8 GiB or 5 s;
- not applicable, if the program does not claim to cover the case (jax-md: minimum images, atoms inside the box).

The rivals are installed by `pip install '.[bench]'`. Writes results/conformance.json, with the smallest failing example
of each kind, and the table as results/conformance.md.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import resource
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.update(JAX_ENABLE_X64="1", JAX_PLATFORMS="cpu", OMP_NUM_THREADS="1")
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

import numpy as np  # noqa: E402

import conformance  # noqa: E402
from conformance import Case  # noqa: E402

TIMEOUT = 5.0  # seconds of processor time for one case
MEMORY = 8 << 30  # bytes of address space for one program
# Decided by the last bits of the numbers, about which only miniffx makes a promise: these are for its tests alone.
LAST_BITS = ("grazing", "chains")


class NotApplicable(Exception):
    """The program does not claim to cover the case."""


# -- programs: i, j, shift of every pair; no shift where the program does not tell ----------------------------------


def with_miniffx(case: Case) -> tuple[Any, ...]:
    from miniffx.neighbors import pairs

    return pairs(case.positions, case.cell, case.pbc, case.cutoff)[:3]


def with_ase(case: Case) -> tuple[Any, ...]:
    from ase import Atoms
    from ase.neighborlist import neighbor_list

    atoms = Atoms(numbers=np.ones(len(case.positions), int), positions=case.positions, cell=case.cell, pbc=case.pbc)
    return neighbor_list("ijS", atoms, case.cutoff)


def with_vesin(case: Case) -> tuple[Any, ...]:
    from vesin import NeighborList

    neighbors = NeighborList(cutoff=case.cutoff, full_list=True)
    return neighbors.compute(points=case.positions, box=case.cell, periodic=list(case.pbc), quantities="ijS")


def with_matscipy(case: Case) -> tuple[Any, ...]:
    from matscipy.neighbours import neighbour_list

    # Without a cell it makes one around the atoms: what its documentation says for systems open everywhere.
    cell = case.cell if case.cell.any() else None
    return neighbour_list("ijS", cutoff=case.cutoff, positions=case.positions, cell=cell, pbc=np.array(case.pbc))


def with_jax_md(case: Case) -> tuple[Any, ...]:
    """Its spaces hold positions inside of the box, and its displacements are minimum images."""
    import jax.numpy as jnp
    from jax_md import partition, space

    if any(case.pbc) and not all(case.pbc):
        raise NotApplicable("some axes periodic")
    fractional = all(case.pbc)
    if fractional:
        if 2 * case.cutoff > conformance.heights(case.cell, case.pbc).min():
            raise NotApplicable("cutoff above half a height")
        positions = np.linalg.solve(case.cell.T, case.positions.T).T
        if ((positions < 0) | (positions > 1)).any():
            raise NotApplicable("atoms outside of the box")
        upper = np.linalg.qr(case.cell.T)[1]  # the cell turned so that its matrix is upper triangular
        box = jnp.asarray(upper * np.sign(np.diag(upper))[:, None])
        displacement, _ = space.periodic_general(box, fractional_coordinates=True)
    else:
        # A free space has no box, but its cell list needs one that holds the atoms, with a margin to either side.
        low, high = (bound(case.positions, axis=0, initial=0) for bound in (np.min, np.max))
        positions, box = case.positions - low + case.cutoff, jnp.asarray(high - low + 2 * case.cutoff)
        displacement, _ = space.free()
    neighbors = partition.neighbor_list(
        displacement,
        box,
        case.cutoff,
        fractional_coordinates=fractional,
        format=partition.NeighborListFormat.Sparse,
    ).allocate(jnp.asarray(positions))
    j, i = np.asarray(neighbors.idx)
    real = i < len(positions)
    return i[real], j[real]


PROGRAMS = {
    "miniffx": with_miniffx,
    "ase": with_ase,
    "vesin": with_vesin,
    "matscipy": with_matscipy,
    "jax-md": with_jax_md,
}
# What in the message of an exception tells the user which part of the input is not taken.
CLEAR = ("`positions`", "`cell`", "`cutoff`", "Singular matrix", "Zero cell volume")


# -- one process per program -----------------------------------------------------------------------------------------


def work(program: str, connection: Any) -> None:
    """Answers cases with (verdict, list or message), for as long as there are any."""
    import warnings

    warnings.simplefilter("ignore")
    if program != "jax-md":
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    PROGRAMS[program](Case("ready", np.eye(3)[:2], 9 * np.eye(3), (True, True, True), 2.0))  # import, compile
    connection.send("ready")
    for count in itertools.count(1):
        case = connection.recv()
        if program == "jax-md" and count % 50 == 0:  # what it compiled for other sizes fills the memory
            import jax

            jax.clear_caches()
        try:
            answer = "list", tuple(np.array(part) for part in PROGRAMS[program](case))
        except NotApplicable as error:
            answer = "not applicable", str(error)
        except Exception as error:
            message = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            answer = "refused" if any(part in message for part in CLEAR) else "failed", message
        connection.send(answer)


class Worker:
    """A program in a process that is started again after a crash or a timeout."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.process: Any = None

    def __call__(self, case: Case) -> tuple[str, Any]:
        """(verdict, list or message)."""
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.connection, theirs = context.Pipe()
            self.process = context.Process(target=work, args=(self.program, theirs), daemon=True)
            self.process.start()
            theirs.close()
            assert self.connection.recv() == "ready"
        try:
            self.connection.send(case)
            start = self.seconds()
            while not self.connection.poll(0.5):
                if self.seconds() - start > TIMEOUT:
                    break
            else:
                return self.connection.recv()
            message = f"no answer within {TIMEOUT:.0f} s"
        except (EOFError, ConnectionError):
            self.process.join(10)
            message = f"crash (exit code {self.process.exitcode})"
        self.stop()
        return "failed", message

    def seconds(self) -> float:
        """Processor time that the process has used; infinite when it is gone."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return float("inf")
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
        self.process = None


# -- judgement -------------------------------------------------------------------------------------------------------


def judge(case: Case, answer: tuple[str, Any]) -> tuple[str, str]:
    """(verdict, what is wrong) of an answer."""
    from oracles import brute_force_pairs

    verdict, found = answer
    if verdict != "list":
        return verdict, found
    exact = case.name.startswith("at the cutoff/")
    largest = np.abs(case.positions).max(initial=0) + np.abs(case.cell[np.array(case.pbc)]).sum()
    doubt = 0.0 if exact else 1e-9 * case.cutoff + 64 * np.finfo(float).eps * largest
    i, j, shift, D = brute_force_pairs(case.positions, case.cell, case.pbc, (case.cutoff + doubt) * (1 + 1e-12))
    squares = (D**2).sum(axis=1)
    bounds = [squares < (case.cutoff - doubt) ** 2, squares <= (case.cutoff + doubt) ** 2]
    if len(found) == 2:  # without shifts: each pair once, as no two images are within the cutoff
        found, shift = (*found, np.zeros((len(found[0]), 3))), np.zeros_like(shift)
    required, allowed = (conformance.rows(i[near], j[near], shift[near]) for near in bounds)
    rows = conformance.rows(*found)
    if exact and len(allowed) > len(required) and np.array_equal(rows, allowed):
        return "right", "with the pairs at the cutoff"
    complaint = conformance.complaint(rows, required, required if exact else allowed)
    return ("failed", complaint) if complaint else ("right", "")


def example_of(case: Case, complaint: str) -> dict[str, Any]:
    """The case in numbers that JSON gives back exactly."""
    return {
        "name": case.name,
        "complaint": complaint,
        "positions": case.positions.tolist(),
        "cell": case.cell.tolist(),
        "pbc": [bool(flag) for flag in case.pbc],
        "cutoff": case.cutoff,
    }


def run(programs: list[str], categories: list[str], stride: int) -> dict[str, Any]:
    """Counts, messages and the smallest example of each kind of failure, by category and program."""
    workers = {program: Worker(program) for program in programs}
    results: dict[str, Any] = {}
    for category in categories:
        make, _ = conformance.CATEGORIES[category]
        names = conformance.names(category)[::stride]
        counts: dict[str, Counter[str]] = {program: Counter() for program in programs}
        reasons: dict[str, Counter[str]] = {program: Counter() for program in programs}
        examples: dict[str, dict[str, Any]] = {program: {} for program in programs}
        for name in names:
            case = conformance.case(name)
            for program, worker in workers.items():
                verdict, complaint = judge(case, worker(case))
                counts[program][verdict] += 1
                if verdict == "right" and not complaint:
                    continue
                if verdict != "failed" or not complaint.endswith(" pairs)"):
                    reasons[program][f"{verdict}: {complaint}"] += 1
                smallest = examples[program].get(verdict)
                if verdict in ("failed", "refused") and (
                    smallest is None or len(case.positions) < len(smallest["positions"])
                ):
                    examples[program][verdict] = example_of(case, complaint)
        results[category] = {
            "what": " ".join((make.__doc__ or "").split()),
            "cases": len(names),
            "programs": {
                program: {
                    **{verdict: counts[program][verdict] for verdict in ("right", "failed", "refused")},
                    "not_applicable": counts[program]["not applicable"],
                    "reasons": dict(reasons[program].most_common(4)),
                    "smallest": examples[program],
                }
                for program in programs
            },
        }
        print(table({category: results[category]}, programs).splitlines()[-1], file=sys.stderr, flush=True)
    for worker in workers.values():
        worker.stop()
    return results


def table(results: dict[str, Any], programs: list[str]) -> str:
    """A Markdown table: failed / applicable, and how many were refused; a dash where a program claims nothing."""

    def entry(counts: dict[str, Any]) -> str:
        applicable = counts["right"] + counts["failed"] + counts["refused"]
        if not applicable:
            return "–"
        refused = f", {counts['refused']} refused" if counts["refused"] else ""
        return f"{counts['failed']} / {applicable}{refused}"

    lines = [f"| failed / cases | {' | '.join(programs)} |", "|---" * (len(programs) + 1) + "|"]
    for category, result in results.items():
        entries = [entry(result["programs"][program]) for program in programs]
        lines.append(f"| {category} | {' | '.join(entries)} |")
    return "\n".join(lines)


def main() -> None:
    """Run, print, write."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--programs", nargs="+", default=list(PROGRAMS), choices=PROGRAMS)
    arguments.add_argument("--stride", type=int, default=1, help="run every so many-th case only")
    arguments.add_argument("--categories", nargs="+", default=[c for c in conformance.CATEGORIES if c not in LAST_BITS])
    arguments.add_argument("--output", type=Path, default=HERE / "results" / "conformance.json")
    options = arguments.parse_args()

    from machine import machine

    results = run(options.programs, options.categories, options.stride)
    about = machine()
    about["versions"].update({program: version(program) for program in options.programs})
    text = table(results, options.programs)
    limits = {"processor_seconds": TIMEOUT, "GiB": MEMORY >> 30}
    options.output.write_text(json.dumps({"machine": about, "limits": limits, "results": results}, indent=1) + "\n")
    options.output.with_suffix(".md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
