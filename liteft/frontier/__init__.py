"""The search for the best student size, vocabulary and precision within a budget of MB, ms and points of accuracy.

`searching` has the public function. `budget` defines the limits, `candidates` lists the shapes and export variants,
and `sizes` predicts the size of their artifacts, so that nothing is trained that cannot fit. `timing` measures latency,
also of untrained shapes; `loop` goes through the shapes, and `training` prunes a training that cannot reach the budget.
`state` is the file that a stopped search resumes from, `choosing` the rule that picks the winner, `result` and
`picture` the outcome.
"""

from liteft.frontier.budget import Budget
from liteft.frontier.result import Candidate, Frontier
from liteft.frontier.searching import search

__all__ = ["Budget", "Candidate", "Frontier", "search"]
