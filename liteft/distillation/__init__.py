"""Distillation: a fine-tuned teacher becomes a small student. Needs the extra ``train``.

`verb` is what callers use, `student` the run of one student or control. Below them: `teachers` and `initial` say
what learns from what, `layers` and `shrinking` how a student is cut out of its teacher, `pool`, `cache` and `views`
what it reads, `losses`, `relations` and `trainer` what it minimises, and `stages` in which order.
"""

from liteft.distillation.verb import Students, distill, distill_all

__all__ = ["Students", "distill", "distill_all"]
