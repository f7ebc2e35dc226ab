"""Minimizers of a function of rows of vectors, one algorithm per file, for loops that evaluate it once per turn.

A minimizer is the pytree of what it remembers. ``propose(here)`` says where to evaluate next; ``decide(here, there,
limits)`` takes what was found there and returns the minimizer, whether to move there, and whether it is stuck. Nothing
is called back, so that a loop can do between the two whatever an evaluation needs. The first proposal is the start
itself: there ``here.value`` is infinite.
"""

from miniffx.minimizers.fire import FIRE as FIRE
from miniffx.minimizers.lbfgs import LBFGS as LBFGS
from miniffx.minimizers.point import Point as Point
