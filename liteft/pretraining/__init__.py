"""Pretraining: an encoder learns from unlabelled texts by guessing masked words, and becomes a base.

``base.py`` is the whole; the vocabulary is in ``vocabulary.py``, texts as token ids in ``packing.py``, what is masked
in ``masking.py``.
"""

from liteft.pretraining.base import pretrain
from liteft.pretraining.result import Pretrained, read_pretrained

__all__ = ["Pretrained", "pretrain", "read_pretrained"]
