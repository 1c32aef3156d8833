"""Budget in, model out: which size, vocabulary and precision is the best within so many MB, ms and points.

`verb` is what callers use and the loop over shapes. `budget` is what was asked for, `candidates` what could be made and
`sizes` how large that would be, so that what cannot fit is never trained; `timing` measures, before a training too;
`training` trains a shape and gives up a hopeless one. `journal` is what a stopped search goes on from, `choosing` the
rule that names a winner, `result` and `picture` what it came to.
"""

from liteft.frontier.budget import Budget
from liteft.frontier.result import Candidate, Frontier
from liteft.frontier.verb import search

__all__ = ["Budget", "Candidate", "Frontier", "search"]
