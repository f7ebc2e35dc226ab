"""The main job on real data, in short: DFT silicon, honest test errors."""

import dataclasses

import jax
import numpy as np

import miniffx as mff


def test_silicon_from_dft(shared):
    """A third of the frames and a tenth of the steps of examples/silicon.toml, so looser bounds than its errors."""

    def single(data):
        def frame(f):
            s = f.structure
            s = dataclasses.replace(s, positions=np.float32(s.positions), cell=np.float32(s.cell))
            return dataclasses.replace(f, structure=s)

        return mff.Dataset(map(frame, data))

    folder = shared / "data" / "mlearn"
    train, validation = single(mff.Dataset.read(folder / "Si_train.extxyz"))[::3].split(0.1, seed=0)
    test = single(mff.Dataset.read(folder / "Si_test.extxyz"))
    descriptors = mff.descriptors.default_set(train, cutoff=5.5)
    model = mff.NNPotential.init(jax.random.key(0), descriptors, hidden=(32, 32), activation="silu")
    result = mff.fit(model, train, validation, optimizer="adam", steps=500, average=0.99, progress=False)
    errors = mff.evaluate(result.model, test)
    assert errors.energy_mae < 0.015
    assert errors.force_mae < 0.150
