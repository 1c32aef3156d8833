"""Advice before anything is trained: what the data are like, what is reachable, and what to run.

`surveying` has the public function. `sample` draws the texts that are looked at, `judges` cross-validates quick
classifiers on them: `floors`, of words, and discriminants of every layer of a base (`probe`). `curve` extends their
learning curves, `sizes` predicts what students would cost. `evidence` is all that was measured, `recommend` the
decisions that follow from it, and `advice` the result.
"""

from liteft.advising.advice import Advice
from liteft.advising.surveying import advise

__all__ = ["Advice", "advise"]
