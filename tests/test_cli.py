"""The command line: what it writes, and one clear line for everything that can be wrong."""

import json
import os
import subprocess
import sys
import time
import tomllib
import warnings

import ase.io
import jax
import numpy as np
import pytest
from ase.build import bulk
from ase.constraints import FixAtoms, FixedLine

import miniffx as mff
from miniffx.cli import main
from miniffx.cli.config import SECTIONS, Config, describe_keys, read_config, to_toml
from miniffx.cli.quickstart import compare, energy_volume_curves, equilibrium_lattice_constant
from miniffx.cli.silicon import silicon_dataset
from test_training import labelled

CONFIG = """
[data]
train = "train.extxyz"
validation = 0.5
test = "test.extxyz"
[descriptors]
recipe = "behler"
cutoff = 5.0
[network]
hidden = [6]
[training]
steps = 150
[output]
folder = "out"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Frames and a config that trains in seconds."""
    path = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    structures = []
    for _ in range(18):  # 6 to train on, 6 to validate, 6 to test: in one shape
        atoms = bulk("Si", a=5.43)
        atoms.positions += rng.normal(scale=0.1, size=(2, 3))
        structures.append(mff.Structure.from_ase(atoms))
    data = labelled(structures)
    data[:12].write(path / "train.extxyz")
    data[12:].write(path / "test.extxyz")
    (path / "config.toml").write_text(CONFIG)
    return path


def run(*arguments, cwd=None):
    """`python -m miniffx` in a process of its own."""
    environment = os.environ | {"COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-m", "miniffx", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_a_model_of_which_nobody_knows_what_it_has_seen_has_no_picture_of_it(tmp_path):
    ds = mff.descriptors.DescriptorSet([mff.descriptors.G2(0.1, 0.0, 4.0, ("Si", "Si"))])
    model = mff.NNPotential.init(jax.random.key(0), ds, hidden=(2,))
    assert sys.modules["miniffx.cli.fit"]._draw_histograms(model, tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_fit_then_evaluate(folder, capsys):
    assert main(["fit", str(folder / "config.toml")]) == 0
    printed = capsys.readouterr().out
    out = folder / "out"
    assert sorted(item.name for item in out.iterdir()) == [
        "checkpoint.safetensors",
        "convergence.png",
        "errors.json",
        "histograms.png",
        "log.jsonl",
        "model.safetensors",
        "parity.png",
    ]
    errors = json.loads((out / "errors.json").read_text())
    assert set(errors) == {"train", "validation", "test"}
    test = mff.evaluate(mff.load(out / "model.safetensors"), mff.Dataset.read(folder / "test.extxyz"))
    assert errors["test"]["force_mae"] == pytest.approx(test.force_mae, rel=1e-9)
    assert f"{1e3 * test.force_mae:.1f}" in printed
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [log[n]["event"] for n in (0, 1, -1)] == ["start", "report", "end"]
    assert log[-1]["step"] == 150
    assert "A network potential per species with 14-6-1 (Si) nodes" in printed
    assert f"worst frames\n{test.worst_table(3)}" in printed
    for name in ("convergence", "histograms", "parity"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")

    assert main(["evaluate", str(out / "model.safetensors"), str(folder / "test.extxyz"), "--worst", "2"]) == 0
    printed = capsys.readouterr().out
    assert str(test) in printed
    assert test.group_table() in printed
    assert test.worst_table(2) in printed


def test_killed_and_resumed_is_as_if_nothing_had_happened(folder, tmp_path, capsys):
    """A process killed twice, wherever it is, and the file of the model that comes out in the end."""
    for name in ("train.extxyz", "test.extxyz"):
        (tmp_path / name).symlink_to(folder / name)
    options = "steps = 3000\nbatch_size = 4\naverage = 0.99\nforce_fraction = 0.5\npatience = 2900"
    text = CONFIG.replace("steps = 150", options)
    (tmp_path / "config.toml").write_text(text)
    (tmp_path / "straight.toml").write_text(text.replace('"out"', '"straight"'))
    assert main(["fit", str(tmp_path / "straight.toml")]) == 0
    log = tmp_path / "out" / "log.jsonl"

    def reports():
        return log.read_text().count('"event": "report"') if log.exists() else 0

    command = [sys.executable, "-m", "miniffx", "fit", str(tmp_path / "config.toml"), "--resume"]
    environment = os.environ | {"JAX_ENABLE_X64": "1"}  # as in this process
    for wait in (0.0, 0.03):
        before = reports()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while reports() < before + 3 and process.poll() is None:
            time.sleep(0.01)
        time.sleep(wait)
        assert process.poll() is None, "ended before it could be killed"
        process.kill()
        process.wait()
    assert main(["fit", str(tmp_path / "config.toml"), "--resume"]) == 0
    assert log.read_text().count('"event": "resume"') == 2
    # Not the bytes of the files: the order in which safetensors writes metadata is random.
    models = [mff.load(tmp_path / name / "model.safetensors") for name in ("out", "straight")]
    assert str(jax.tree.structure(models[0])) == str(jax.tree.structure(models[1]))
    leaves = [[np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(model)] for model in models]
    assert leaves[0] == leaves[1]
    assert not [item for item in (tmp_path / "out").iterdir() if item.name.startswith(".")]


@pytest.mark.parametrize(
    "lines",
    [
        '[network]\nmembers = 2\nspecies = { Si = { hidden = [5, 4], activation = "silu", bias = false } }',
        '[training]\noptimizer = "adamw"\noptions = { weight_decay = 1e-4 }\nschedule = "linear"\nwarmup = 5\n'
        "clip = 1.0\n"
        'huber = 0.5\nbatch_size = 4\n[normalization]\nfeatures = "range"\ncomponents = 0.01\n[output]\nplots = true',
    ],
)
def test_options_of_a_config(folder, tmp_path, capsys, lines):
    for name in ("train.extxyz", "test.extxyz"):
        (tmp_path / name).symlink_to(folder / name)
    text = CONFIG.replace("[network]\nhidden = [6]\n", "").replace("[training]\nsteps = 150\n", "")
    text = text.replace('[output]\nfolder = "out"\n', "")
    lines = lines.replace("[training]", "[training]\nsteps = 4")
    if "[training]" not in lines:
        lines += "\n[training]\nsteps = 4"
    (tmp_path / "config.toml").write_text(f"{text}\n{lines}")
    assert main(["fit", str(tmp_path / "config.toml")]) == 0
    model = mff.load(tmp_path / "model.safetensors")
    if "members" in lines:
        assert isinstance(model, mff.Committee)
        assert [w.shape[1:] for w in model.stacked.networks[0].weights] == [(14, 5), (5, 4), (4, 1)]
        text = CONFIG.replace("[training]", '[training]\nstart = "model.safetensors"').replace("150", "2")
        (tmp_path / "more.toml").write_text(text)
        assert main(["fit", str(tmp_path / "more.toml")]) == 0
        assert mff.load(tmp_path / "out" / "model.safetensors").size == 2


def test_relax(tmp_path, capsys):
    """Atoms and cell, frame by frame; fixed atoms stay, and what a frame carries is kept."""
    lj = mff.potentials.LennardJones(epsilon=0.0103, sigma=3.40, cutoff=6.0, species=("Ar", "Ar"), truncation="smooth")
    mff.io.save_model(lj, tmp_path / "lj.safetensors")
    atoms = bulk("Ar", "hcp", a=3.9, c=6.0)
    atoms.positions[1] += [0.3, 0, -0.15]
    atoms.info["name"] = "first"
    held = atoms.copy()
    held.set_constraint(FixAtoms([1]))
    ase.io.write(tmp_path / "in.xyz", [atoms, held], format="extxyz")
    arguments = ["relax", str(tmp_path / "lj.safetensors"), str(tmp_path / "in.xyz"), "-o", str(tmp_path / "out.xyz")]
    assert main([*arguments, "--cell", "--fmax", "1e-4"]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("largest force") == 2
    assert printed.err == ""
    free, _ = ase.io.read(tmp_path / "out.xyz", index=":")
    assert free.info["name"] == "first"
    energy, forces = free.get_potential_energy(), free.get_forces()
    free.calc = mff.calculators.ASECalculator(lj)
    assert free.get_potential_energy() == pytest.approx(energy, abs=1e-6)
    np.testing.assert_allclose(free.get_forces(), forces, atol=1e-6)
    assert np.abs(forces).max() < 1e-4
    assert np.abs(free.get_stress()).max() < 1.1e-5

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main([*arguments, "--steps", "1"]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("not converged") == 2
    assert printed.err == "miniffx: warning: 2 of 2 frames did not converge: 0, 1\n"
    moved, held_again = ase.io.read(tmp_path / "out.xyz", index=":")
    np.testing.assert_allclose(held_again.positions[1], held.positions[1], atol=1e-7)
    assert not np.allclose(moved.positions[1], held.positions[1], atol=1e-4)

    held.set_constraint(FixedLine(0, [1, 0, 0]))
    ase.io.write(tmp_path / "in.traj", held)
    arguments[2] = str(tmp_path / "in.traj")
    assert main(arguments) == 2
    assert "in.traj, frame 0: constraints must be FixAtoms, got FixedLine" in capsys.readouterr().err
    assert main([*arguments[:-1], str(tmp_path / "gone" / "out.xyz")]) == 2
    assert "`output` must be in an existing folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps = 150", "stepps = 150", "unknown key in [training]: `stepps`; did you mean `steps`?"),
        ("[network]", "[networks]", "unknown section: `networks`; did you mean `network`?"),
        ("steps = 150", 'steps = "many"', "`training.steps` must be a whole number, got 'many'"),
        ("steps = 150", "steps = 1.5", "`training.steps` must be a whole number, got 1.5"),
        ("steps = 150", "steps = true", "`training.steps` must be a whole number, got True"),
        ("steps = 150", "steps = 0", "`training.steps` must be positive, got 0"),
        ("hidden = [6]", "hidden = 6", "`network.hidden` must be a list of whole numbers, got 6"),
        ("hidden = [6]", "hidden = [6, -1]", "`network.hidden` must be positive widths, got [6, -1]"),
        ("hidden = [6]", 'activation = "tan"', "`network.activation` must be one of tanh,"),
        ("cutoff = 5.0", "cutoff = -4", "`descriptors.cutoff` must be positive, in Å, got -4.0"),
        ("cutoff = 5.0", "cutoff = nan", "`descriptors.cutoff` must be finite and smaller than 2147483648, got nan"),
        (
            'recipe = "behler"',
            'recipe = "best"',
            "`descriptors.recipe` must be one of default, behler, gaussian, got 'best'",
        ),
        ("validation = 0.5", "validation = 1.0", "`data.validation` must be in [0, 1) or a file, got 1.0"),
        ("validation = 0.5", "validation = 0.01", "`data.validation`: `fraction` must leave frames in both parts"),
        ('"train.extxyz"', '"gone.extxyz"', "`data.train` must be a file, got gone.extxyz, which does not exist"),
        ('train = "train.extxyz"', "", "`data.train` must be a file, got ''"),
        ("[data]", "data = 3\n[data2]", "`data` must be a section, got 3"),
        ("steps = 150", "steps = ", "is not valid TOML"),
        ("steps = 150", 'optimizer = "adm"', "[training]: `optimizer` must be one of lbfgs, adam,"),
        ("steps = 150", 'schedule = "cosinus"', "got 'cosinus'; did you mean 'cosine'?"),
        ("steps = 150", "options = { b3 = 1.0 }", "[training]: `option of adam` must be one of b1,"),
        ("steps = 150", "options = 3", "`training.options` must be a table, got 3"),
        ("steps = 150", "average = 1.5", "`training.average` must be in [0, 1), or -1, got 1.5"),
        ("steps = 150", "options = { b1 = [1, 2] }", "[training]: `b1` must be a number, got [1, 2]"),
        ("steps = 150", "warmup = -2", "`training.warmup` must be a number of steps, or -1, got -2"),
        ("steps = 150", f"seed = {10**23}", "`training.seed` must be finite and smaller than 2147483648"),
        ("steps = 150", "[normalization]\ncomponents = inf", "`normalization.components` must be finite and smaller"),
        ("hidden = [6]", "hidden = [4000000000000]", "`network.hidden` must be finite and smaller than"),
        ("hidden = [6]", "hidden = [2000000000, 2000000000]", "`network.hidden` and `network.members` make"),
        ("steps = 150", "clip = -1", "[training]: `clip` must be positive, got -1.0"),
        ("steps = 150", "force_fraction = 0", "`training.force_fraction` must be in (0, 1], got 0.0"),
        ("steps = 150", 'start = "gone.safetensors"', "`training.start` must be a file, got gone.safetensors"),
        ("hidden = [6]", "bias = 1", "`network.bias` must be true or false or a list of true and false, got 1"),
        ("hidden = [6]", "species = { Si = { hiden = [3] } }", "`hiden`; did you mean `hidden`?"),
        ("hidden = [6]", "species = { Ge = { hidden = [3] } }", "`network.species` must hold only species of"),
        ("[network]", '[normalization]\nfeatures = "max"\n[network]', "[normalization]: `features` must be one of std"),
        ('folder = "out"', 'folder = "train.extxyz"', "`output.folder` must be a folder, got"),
    ],
)
def test_a_bad_config_is_one_clear_line(folder, tmp_path, capsys, old, new, message):
    for name in ("train.extxyz", "test.extxyz"):
        (tmp_path / name).symlink_to(folder / name)
    assert old in CONFIG
    (tmp_path / "config.toml").write_text(CONFIG.replace(old, new, 1))
    before = sorted(tmp_path.iterdir())
    assert main(["fit", str(tmp_path / "config.toml")]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("miniffx: error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert sorted(tmp_path.iterdir()) == before  # nothing written half


def test_test_frames_of_another_species_are_refused_before_training(folder, tmp_path, capsys):
    (tmp_path / "train.extxyz").symlink_to(folder / "train.extxyz")
    germanium = mff.Structure.from_ase(bulk("Ge", a=5.66))
    mff.Dataset([mff.Frame(germanium, -8.0, np.zeros((2, 3)))]).write(tmp_path / "test.extxyz")
    (tmp_path / "config.toml").write_text(CONFIG)
    assert main(["fit", str(tmp_path / "config.toml")]) == 2
    assert "`data.test` must hold only species of `data.train` (Si), got Ge" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_missing_and_damaged_files_are_one_clear_line(folder, tmp_path):
    result = run("evaluate", tmp_path / "no.safetensors", folder / "test.extxyz")
    assert result.returncode == 2
    assert result.stderr == (
        f"miniffx: error: `path` must be a model file, got {tmp_path / 'no.safetensors'}, which does not exist\n"
    )
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    result = run("evaluate", tmp_path / "bad.safetensors", folder / "test.extxyz")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "bad.safetensors is not a readable miniffx model" in result.stderr
    assert run("fit", tmp_path / "no.toml").returncode == 2
    assert run("fit").returncode == 2


def test_help_and_version():
    result = run("--help")
    assert result.returncode == 0
    for command in ("quickstart", "fit", "evaluate", "relax"):
        assert command in result.stdout
    assert run("--version").stdout.strip() == f"miniffx {mff.__version__}"
    assert run().returncode == 2
    assert run("trian").returncode == 2


def test_the_list_of_keys_is_a_valid_config(tmp_path):
    tree = tomllib.loads(describe_keys())
    assert set(tree) == set(SECTIONS)
    (tmp_path / "train.extxyz").write_text("")
    text = describe_keys().replace('train = ""', 'train = "train.extxyz"')
    (tmp_path / "config.toml").write_text(text)
    config = read_config(tmp_path / "config.toml")
    assert config.training == Config().training
    config.network.hidden = [7]
    (tmp_path / "again.toml").write_text(to_toml(config))
    assert read_config(tmp_path / "again.toml") == config


# -- the parts of the quickstart ------------------------------------------------------------------------------


def test_quickstart_data_are_of_many_kinds_and_labelled_right():
    energy = mff.potentials.stillinger_weber("Si")
    data = silicon_dataset(energy, 5.431, seed=0)
    assert {frame.group for frame in data} == {"strained", "rattled", "vacancy", "surface", "molten"}
    strained = mff.Dataset(frame for frame in data if frame.group == "strained")
    assert mff.evaluate(energy, strained).force_mae < 1e-12
    surfaces = [frame for frame in data if frame.group == "surface"]
    assert all(frame.structure.pbc == (True, True, False) for frame in surfaces)
    molten = [frame for frame in data if frame.group == "molten"]
    crystal = mff.Structure.from_ase(bulk("Si", a=5.431, cubic=True) * (2, 2, 2))
    moved = np.linalg.norm(molten[-1].structure.positions - np.asarray(crystal.positions), axis=1)
    assert np.sqrt((moved**2).mean()) > 1.0  # Å: far beyond vibrations


def test_comparison_of_a_potential_with_itself():
    energy = mff.potentials.stillinger_weber("Si")
    lattice_constant = equilibrium_lattice_constant(energy)
    assert lattice_constant == pytest.approx(5.431, abs=5e-4)
    table = compare(energy, energy)
    assert f"{lattice_constant:.4f}" in table
    assert "-4.3366" in table
    assert "151.4" in table
    assert table.count("0.00%") == 5
    lines = energy_volume_curves(energy, energy).axes[0].get_lines()
    np.testing.assert_allclose(lines[0].get_ydata(), lines[1].get_ydata())
    assert lines[0].get_xdata()[np.argmin(lines[0].get_ydata())] == pytest.approx(5.431**3 / 8, rel=0.02)
