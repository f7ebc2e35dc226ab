"""Trainable models."""

from miniffx.models.mlp import MLP as MLP
from miniffx.models.nn_potential import NNPotential as NNPotential
from miniffx.models.scaling import Scaling as Scaling
