"""Training: data, features, loss, optimizers, errors."""

from miniffx.training.dataset import Dataset as Dataset
from miniffx.training.evaluate import ChargeErrors as ChargeErrors
from miniffx.training.evaluate import Errors as Errors
from miniffx.training.evaluate import FrameErrors as FrameErrors
from miniffx.training.evaluate import evaluate as evaluate
from miniffx.training.feature_table import FeatureTable as FeatureTable
from miniffx.training.featurize import Features as Features
from miniffx.training.featurize import featurize as featurize
from miniffx.training.fit import FitResult as FitResult
from miniffx.training.fit import fit as fit
from miniffx.training.loss import LossWeights as LossWeights
from miniffx.training.optimizers import Optimizer as Optimizer
from miniffx.training.predictions import predict as predict
from miniffx.training.session_log import SessionLog as SessionLog
