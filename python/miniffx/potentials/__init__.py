"""Classical potentials: one formula per file. Energies in eV, lengths in Å."""

from miniffx.potentials.buckingham import Buckingham as Buckingham
from miniffx.potentials.composition import Energy as Energy
from miniffx.potentials.composition import Function as Function
from miniffx.potentials.composition import Scaled as Scaled
from miniffx.potentials.composition import Sum as Sum
from miniffx.potentials.ewald import Coulomb as Coulomb
from miniffx.potentials.ewald import Ewald as Ewald
from miniffx.potentials.ewald import EwaldBackground as EwaldBackground
from miniffx.potentials.ewald import EwaldMesh as EwaldMesh
from miniffx.potentials.ewald import EwaldReal as EwaldReal
from miniffx.potentials.ewald import EwaldReciprocal as EwaldReciprocal
from miniffx.potentials.ewald import EwaldSelf as EwaldSelf
from miniffx.potentials.ewald import Mesh as Mesh
from miniffx.potentials.harmonic_repulsion import HarmonicRepulsion as HarmonicRepulsion
from miniffx.potentials.lennard_jones import LennardJones as LennardJones
from miniffx.potentials.mixing import lennard_jones as lennard_jones
from miniffx.potentials.morse import Morse as Morse
from miniffx.potentials.on_site import OnSite as OnSite
from miniffx.potentials.pair import PairPotential as PairPotential
from miniffx.potentials.stillinger_weber import StillingerWeberPair as StillingerWeberPair
from miniffx.potentials.stillinger_weber import StillingerWeberTriple as StillingerWeberTriple
from miniffx.potentials.stillinger_weber import stillinger_weber as stillinger_weber
from miniffx.potentials.stillinger_weber import stillinger_weber_gauge as stillinger_weber_gauge
from miniffx.potentials.triple import TriplePotential as TriplePotential
from miniffx.potentials.zbl import ZBL as ZBL
