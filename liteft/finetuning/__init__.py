"""Fine-tuning: labelled text and a pretrained base become a teacher. Needs the extra ``train``."""

from liteft.finetuning.teacher import finetune

__all__ = ["finetune"]
