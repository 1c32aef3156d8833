"""Distillation: a fine-tuned teacher becomes a small student. Needs the extra ``train``.

`distilling` trains every student that a recipe asks for, and `student` one student or control, as the value in
`training` says. `teachers` finds the teacher; `initial`, `layers` and `shrinking` make the student's first weights;
`transfer_set`, `cache` and `augmentation` prepare its texts; `losses`, `relations` and `trainer` compute its loss;
`stages` orders the training.
"""

from liteft.distillation.distilling import Students, check_student_of, distill_students

__all__ = ["Students", "check_student_of", "distill_students"]
