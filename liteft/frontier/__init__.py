"""Budget in, model out: the best size, vocabulary and precision within a budget of MB, ms and points.

`searching` is what callers use. `budget` holds the limits, `candidates` what could be made and `sizes` how large that
would be, so that what cannot fit is never trained; `timing` measures, also before a training; `loop` goes through the
shapes, and `training` trains one and prunes it when it is hopeless. `state` is what a stopped search resumes from,
`choosing` the rule that picks a winner, `result` and `picture` the outcome.
"""

from liteft.frontier.budget import Budget
from liteft.frontier.result import Candidate, Frontier
from liteft.frontier.searching import search

__all__ = ["Budget", "Candidate", "Frontier", "search"]
