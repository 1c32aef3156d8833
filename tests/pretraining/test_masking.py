"""What is masked: whole words, in known shares, as a function of seed, epoch and sequence alone."""

from __future__ import annotations

import numpy as np

from liteft.pretraining.masking import Masking

MASK, SIZE = 4, 200
MASKING = Masking(seed=1, share=0.15, mask_id=MASK, special=np.arange(5), others=np.arange(5, SIZE))


def corpus(sequences: int = 400, length: int = 50) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    ids = random.integers(5, SIZE, sequences * length)
    begins = random.random(len(ids)) < 0.6
    return ids, begins, np.full(sequences, length), np.arange(sequences)


def test_a_word_is_masked_with_all_of_its_tokens_or_not_at_all() -> None:
    ids, begins, lengths, rows = corpus()
    chosen = MASKING(ids, begins, lengths, rows, epoch=0).chosen
    inside = ~begins
    inside[np.cumsum(lengths) - lengths] = False
    places = np.flatnonzero(inside)
    np.testing.assert_array_equal(chosen[places], chosen[places - 1])


def test_about_15_percent_are_chosen_of_which_80_are_masked_10_random_and_10_the_same() -> None:
    ids, begins, lengths, rows = corpus()
    masked = MASKING(ids, begins, lengths, rows, epoch=0)
    chosen = masked.chosen
    assert abs(chosen.mean() - 0.15) < 0.01
    assert abs((masked.ids[chosen] == MASK).mean() - 0.8) < 0.02
    assert abs((masked.ids[chosen] == ids[chosen]).mean() - 0.1) < 0.02
    assert (masked.ids[chosen] >= 4).all()
    np.testing.assert_array_equal(masked.ids[~chosen], ids[~chosen])


def test_each_epoch_masks_other_words_and_the_same_epoch_the_same() -> None:
    first, again, second = (MASKING(*corpus(), epoch=epoch) for epoch in (0, 0, 1))
    np.testing.assert_array_equal(first.ids, again.ids)
    assert (first.chosen != second.chosen).mean() > 0.1


def test_what_is_masked_in_a_sequence_does_not_depend_on_the_others_in_its_batch() -> None:
    ids, begins, lengths, rows = corpus()
    whole = MASKING(ids, begins, lengths, rows, epoch=2)
    part = MASKING(ids[350:450], begins[350:450], lengths[7:9], rows[7:9], epoch=2)
    np.testing.assert_array_equal(part.ids, whole.ids[350:450])
    np.testing.assert_array_equal(part.chosen, whole.chosen[350:450])


def test_a_text_of_a_single_word_has_it_masked_and_special_tokens_never_are() -> None:
    ids, lengths = np.array([7, 1, 1, 9, 1]), np.array([1, 1, 3])
    for epoch in range(20):
        chosen = MASKING(ids, np.ones(5, dtype=bool), lengths, np.arange(3), epoch=epoch).chosen
        assert chosen.tolist() == [True, False, False, True, False]


def test_a_special_token_inside_a_word_is_not_to_be_guessed() -> None:
    ids, begins = np.array([7, 1, 8]), np.array([True, False, False])
    for epoch in range(20):
        chosen = MASKING(ids, begins, np.array([3]), np.arange(1), epoch=epoch).chosen
        assert chosen.tolist() == [True, False, True]
