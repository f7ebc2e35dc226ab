"""What one computes from an energy function or from structures: one quantity per file."""

from miniffx.analysis.adf import adf as adf
from miniffx.analysis.elastic_constants import elastic_constants as elastic_constants
from miniffx.analysis.rdf import rdf as rdf
from miniffx.analysis.strain_profile import StrainProfile as StrainProfile
from miniffx.analysis.strain_profile import strain_profile as strain_profile
