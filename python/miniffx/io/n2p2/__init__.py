"""Files of RuNNer and n2p2: neural-network potentials and data sets. Units are converted here."""

from miniffx.io.n2p2.frames import read_n2p2_frames as read_n2p2_frames
from miniffx.io.n2p2.reading import read_n2p2 as read_n2p2
from miniffx.io.n2p2.writing import write_n2p2 as write_n2p2
