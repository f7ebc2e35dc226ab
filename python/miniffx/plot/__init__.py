"""Pictures. Each takes ``ax=None`` and returns the Axes. The only part that imports matplotlib."""

from miniffx.plot.convergence import convergence as convergence
from miniffx.plot.parity import parity as parity
