"""Pictures. Each takes ``ax=None`` and returns the Axes. The only part that imports matplotlib."""

from miniffx.plot.adf import adf as adf
from miniffx.plot.convergence import convergence as convergence
from miniffx.plot.descriptors import descriptors as descriptors
from miniffx.plot.histograms import histograms as histograms
from miniffx.plot.parity import parity as parity
from miniffx.plot.potential import potential as potential
from miniffx.plot.rdf import rdf as rdf
from miniffx.plot.strain_profile import strain_profile as strain_profile
