"""Distillation: a fine-tuned teacher becomes a small student. Needs the extra ``train``.

`distilling` trains all that a recipe asks for, `student` runs one student or control. Below: `teachers` and `initial`
say what learns from what, `layers` and `shrinking` how a student is cut out of its teacher, `transfer_set`, `cache` and
`augmentation` what it reads, `losses`, `relations` and `trainer` what it minimises, and `stages` in which order.
"""

from liteft.distillation.distilling import Students, distill_students

__all__ = ["Students", "distill_students"]
