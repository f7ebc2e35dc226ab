"""Files: frames and models. All units are eV and Å."""

from miniffx.io.frames import Frame as Frame
from miniffx.io.frames import read_frames as read_frames
from miniffx.io.frames import write_frames as write_frames
from miniffx.io.model_files import load_model as load_model
from miniffx.io.model_files import save_model as save_model
