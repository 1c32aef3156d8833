"""Which unlabelled texts to label next: those that a model doubts, and those of which it is surest."""

from liteft.picking.next_texts import NextText, ToLabel
from liteft.picking.picked import to_label
from liteft.picking.stored import TO_LABEL_FILE, stored_to_label

__all__ = ["TO_LABEL_FILE", "NextText", "ToLabel", "stored_to_label", "to_label"]
