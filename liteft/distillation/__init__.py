"""Distillation: a fine-tuned teacher becomes a small student. Needs the extra ``train``.

`verb` trains all that a recipe asks for, `student` runs one student or control. Below: `teachers` and `initial` say
what learns from what, `layers` and `shrinking` how a student is cut out of its teacher, `pool`, `cache` and `views`
what it reads, `losses`, `relations` and `trainer` what it minimises, and `stages` in which order.
"""

from liteft.distillation.verb import Students, distill_students

__all__ = ["Students", "distill_students"]
