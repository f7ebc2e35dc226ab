"""Descriptors of atomic environments: one formula per file. Lengths in Å."""

from miniffx.descriptors.descriptor import Angular as Angular
from miniffx.descriptors.descriptor import Descriptor as Descriptor
from miniffx.descriptors.descriptor import Radial as Radial
from miniffx.descriptors.descriptor_set import DescriptorSet as DescriptorSet
from miniffx.descriptors.g2 import G2 as G2
from miniffx.descriptors.g4 import G4 as G4
from miniffx.descriptors.recipes import behler_set as behler_set
from miniffx.descriptors.recipes import default_set as default_set
