"""miniffx: interatomic potentials for JAX, with a compiled C++ neighbour core.

Units: eV, Å, eV/Å, eV/Å³, elementary charges. Stress is positive in tension.
"""

from importlib.metadata import version as _version

from miniffx import analysis as analysis
from miniffx import calculators as calculators
from miniffx import descriptors as descriptors
from miniffx import io as io
from miniffx import neighbors as neighbors
from miniffx import plot as plot
from miniffx import potentials as potentials
from miniffx import training as training
from miniffx.analysis import StrainProfile as StrainProfile
from miniffx.analysis import adf as adf
from miniffx.analysis import elastic_constants as elastic_constants
from miniffx.analysis import rdf as rdf
from miniffx.analysis import strain_profile as strain_profile
from miniffx.derivatives import energy_and_forces as energy_and_forces
from miniffx.derivatives import energy_forces_stress as energy_forces_stress
from miniffx.derivatives import forces as forces
from miniffx.derivatives import hessian as hessian
from miniffx.derivatives import stress as stress
from miniffx.io import Frame as Frame
from miniffx.io import load_model as load
from miniffx.models import MLP as MLP
from miniffx.models import ChargedPotential as ChargedPotential
from miniffx.models import ChargeModel as ChargeModel
from miniffx.models import Committee as Committee
from miniffx.models import ExtrapolationWarning as ExtrapolationWarning
from miniffx.models import NNPotential as NNPotential
from miniffx.models import Normalization as Normalization
from miniffx.neighbors import Buckets as Buckets
from miniffx.neighbors import NeighborList as NeighborList
from miniffx.neighbors import neighbor_list as neighbor_list
from miniffx.relax import RelaxResult as RelaxResult
from miniffx.relax import relax as relax
from miniffx.structure import Structure as Structure
from miniffx.structure import stack as stack
from miniffx.training import Dataset as Dataset
from miniffx.training import Errors as Errors
from miniffx.training import FeatureTable as FeatureTable
from miniffx.training import FitResult as FitResult
from miniffx.training import LossWeights as LossWeights
from miniffx.training import Optimizer as Optimizer
from miniffx.training import evaluate as evaluate
from miniffx.training import featurize as featurize
from miniffx.training import fit as fit

__version__ = _version("miniffx")
