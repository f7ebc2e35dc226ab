"""Electrostatics of point charges: Ewald's sum, its parts, and the plain Coulomb sum of a molecule. eV, Å, e."""

from miniffx.potentials.ewald.background import EwaldBackground as EwaldBackground
from miniffx.potentials.ewald.coulomb import Coulomb as Coulomb
from miniffx.potentials.ewald.ewald import Ewald as Ewald
from miniffx.potentials.ewald.mesh import EwaldMesh as EwaldMesh
from miniffx.potentials.ewald.mesh import Mesh as Mesh
from miniffx.potentials.ewald.real import EwaldReal as EwaldReal
from miniffx.potentials.ewald.reciprocal import EwaldReciprocal as EwaldReciprocal
from miniffx.potentials.ewald.self_energy import EwaldSelf as EwaldSelf
