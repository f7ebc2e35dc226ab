"""Files: frames and models, and those of RuNNer and n2p2. Units are eV and Å as soon as a file is read."""

from miniffx.io.frames import Frame as Frame
from miniffx.io.frames import read_frames as read_frames
from miniffx.io.frames import write_frames as write_frames
from miniffx.io.model_files import load_model as load_model
from miniffx.io.model_files import save_model as save_model
from miniffx.io.n2p2 import read_n2p2 as read_n2p2
from miniffx.io.n2p2 import read_n2p2_frames as read_n2p2_frames
from miniffx.io.n2p2 import write_n2p2 as write_n2p2
