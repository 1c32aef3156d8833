"""Scoring tables of any size in units, each of which becomes a part that is its own checkpoint.

`plan` cuts files into units, from what `storage` lists and `sources` opens; `boundaries` finds the rows at which parts
of text files begin. `job` scores one unit: `reading` gives its rows as blocks of Arrow, the runtime's `scored_blocks`
adds the predictions, and `parts` writes. `engines` run the units, `crew` chooses among them, `attempts` counts tries.
`scoring` holds ``score`` and ``plan_score``, and `results` what they return.
"""

from __future__ import annotations

from liteft.bulk.job import Failure
from liteft.bulk.plan import Unit
from liteft.bulk.results import Planned, Scored, ScoreProgress
from liteft.bulk.scoring import plan_score, score

__all__ = ["Failure", "Planned", "ScoreProgress", "Scored", "Unit", "plan_score", "score"]
