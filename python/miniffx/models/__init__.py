"""Trainable models."""

from miniffx.models.charge_model import ChargeModel as ChargeModel
from miniffx.models.charged_potential import ChargedPotential as ChargedPotential
from miniffx.models.committee import Committee as Committee
from miniffx.models.committee import Uncertainty as Uncertainty
from miniffx.models.histograms import ExtrapolationWarning as ExtrapolationWarning
from miniffx.models.histograms import Histograms as Histograms
from miniffx.models.mlp import MLP as MLP
from miniffx.models.nn_potential import NNPotential as NNPotential
from miniffx.models.scaling import Normalization as Normalization
from miniffx.models.scaling import Scaling as Scaling
