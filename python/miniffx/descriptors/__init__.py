"""Descriptors of atomic environments: one formula per file. Lengths in Å."""

from miniffx.descriptors.angular import AngularDescriptor as AngularDescriptor
from miniffx.descriptors.compact_narrow import CompactNarrow as CompactNarrow
from miniffx.descriptors.compact_radial import CompactRadial as CompactRadial
from miniffx.descriptors.compact_wide import CompactWide as CompactWide
from miniffx.descriptors.descriptor import Angular as Angular
from miniffx.descriptors.descriptor import Descriptor as Descriptor
from miniffx.descriptors.descriptor import Radial as Radial
from miniffx.descriptors.descriptor_set import DescriptorSet as DescriptorSet
from miniffx.descriptors.g2 import G2 as G2
from miniffx.descriptors.g4 import G4 as G4
from miniffx.descriptors.g5 import G5 as G5
from miniffx.descriptors.g5x import G5x as G5x
from miniffx.descriptors.radial import RadialDescriptor as RadialDescriptor
from miniffx.descriptors.recipes import behler_set as behler_set
from miniffx.descriptors.recipes import default_set as default_set
from miniffx.descriptors.selection import Selection as Selection
from miniffx.descriptors.selection import select as select
from miniffx.descriptors.sigmoid import Sigmoid as Sigmoid
from miniffx.descriptors.statistics import SpeciesStatistics as SpeciesStatistics
from miniffx.descriptors.statistics import Statistics as Statistics
from miniffx.descriptors.statistics import statistics as statistics
from miniffx.descriptors.weighted_compact_narrow import WeightedCompactNarrow as WeightedCompactNarrow
from miniffx.descriptors.weighted_compact_radial import WeightedCompactRadial as WeightedCompactRadial
from miniffx.descriptors.weighted_compact_wide import WeightedCompactWide as WeightedCompactWide
from miniffx.descriptors.weighted_g2 import WeightedG2 as WeightedG2
from miniffx.descriptors.weighted_g4 import WeightedG4 as WeightedG4
