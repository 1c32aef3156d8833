"""A classifier's logits in torch: computed in batches of similar length, returned in the order of the texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from liteft.data import Split
from liteft.encoded import Encoded
from liteft.finetuning.model import TorchClassifier, uses_type_ids
from liteft.finetuning.pretrained import output_logits
from liteft.finetuning.reading import read_split
from liteft.ragged import Ragged, Rows

__all__ = ["by_length", "pad_batch", "predict_logits"]

_BATCH_TOKENS = 64 * 512  # per batch, including padding: long texts run in smaller batches


def predict_logits(
    loaded: TorchClassifier,
    texts: Split | Sequence[str],
    pairs: Sequence[str] | None = None,
    *,
    batch_size: int = 64,
    bf16: bool = False,
    undecided: bool = False,
) -> Rows:
    """Return logits, float32, in the order of the texts.

    Batches hold texts of similar length, so little padding is computed. The model's mode is restored.

    Args:
        loaded: the classifier.
        texts: a split, whose labels do not count; or texts, or the first text of each pair.
        pairs: second texts, beside first ones; None for none.
        batch_size: the most texts per batch; texts of more than 512 tokens run in smaller batches.
        bf16: run matrix products in bfloat16.
        undecided: of a model that answers questions: leave its threshold of no answer out.

    Returns:
        An array (texts, labels); of a task that judges words a Ragged, (words, labels) for each text; of one that
        answers questions the packed form (`liteft.answer_spans`).

    Raises:
        DataError: a text contains a token that the model has no embedding for.
    """
    if not isinstance(texts, Split):
        texts = Split("given", list(texts), None if pairs is None else list(pairs))
    reading = read_split(loaded, texts, name="those given")
    encoded, windows = reading.encoded, reading.windows
    order = np.argsort(encoded.lengths, kind="stable")
    answers = reading.answers
    units = len(encoded) if windows is None else len(windows.places)
    units = units if answers is None else len(answers.unit_first)
    logits = np.zeros((units, len(loaded.settings.labels)), dtype=np.float32)
    model, training = loaded.model, loaded.model.training
    device = next(model.parameters()).device
    model.eval()
    try:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            for rows in by_length(order, encoded.lengths, batch_size):
                batch = pad_batch(encoded, rows, pad_id=loaded.tokenizer.pad_id, types=uses_type_ids(loaded.config))
                output = model(**{name: tensor.to(device) for name, tensor in batch.items()})
                found = output_logits(output).float().cpu().numpy()
                if answers is not None:
                    chosen, places, *ends = answers.in_rows(rows)
                    for side, columns in enumerate(ends):
                        logits[chosen, side] = found[places, columns, side]
                elif windows is None:
                    logits[rows] = found
                else:
                    words, places, columns = windows.in_rows(rows)
                    logits[words] = found[places, columns]
    finally:
        model.train(training)
    if answers is not None:
        form = answers.form.undecided if undecided else answers.form
        return replace(answers, form=form).packed(logits[:, 0], logits[:, 1])
    return logits if windows is None else Ragged(logits, windows.text_words)


def by_length(order: np.ndarray, lengths: np.ndarray, batch_size: int = 64) -> Iterator[np.ndarray]:
    """Yield the rows of each batch: ``batch_size`` of them, or fewer if padding would make too many tokens.

    Args:
        order: the rows, int64 (texts,), the shortest text first.
        lengths: token counts, int64 (texts,).
        batch_size: the most texts per batch.
    """
    start = 0
    while start < len(order):
        stop = min(len(order), start + batch_size)
        while stop > start + 1 and (stop - start) * int(lengths[order[stop - 1]]) > _BATCH_TOKENS:
            stop -= 1
        yield order[start:stop]
        start = stop


def pad_batch(encoded: Encoded, rows: Sequence[int] | np.ndarray, *, pad_id: int, types: bool) -> dict[str, Tensor]:
    """Return the named rows as one right-padded batch of int64 tensors, shape (texts, longest)."""
    ids, mask, type_ids = encoded[np.asarray(rows)].padded(pad_id)
    batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
    if types:
        batch["token_type_ids"] = torch.from_numpy(type_ids)
    return batch
