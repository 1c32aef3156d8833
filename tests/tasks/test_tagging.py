"""What tags mean, and the best legal tags against a search through all of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liteft.ragged import Ragged
from liteft.tasks import viterbi
from liteft.tasks.tagging import TagScheme, scheme_of

LABEL_SETS = [
    ("O", "B-PER", "I-PER", "B-LOC", "I-LOC"),
    ("I-PER", "O", "B-PER", "I-LOC"),  # I-LOC alone may begin
    ("I-PER", "B-PER"),
    ("I-A", "I-B", "B-A"),
    ("O", "I-PER", "I-LOC"),
    ("B-A", "O"),
    ("NOUN", "VERB", "O"),
]


def slow_best(scheme: TagScheme, logits: np.ndarray) -> list[int]:
    """Return the best of all legal tags of one text; of equal ones that with the lower last tag, and so on."""
    best: tuple[float, list[int]] | None = None
    for tags in itertools.product(range(len(scheme.labels)), repeat=len(logits)):
        if not slow_legal(scheme.labels, tags):
            continue
        found = (-sum(float(row[tag]) for row, tag in zip(logits, tags, strict=True)), list(reversed(tags)))
        best = found if best is None or found < best else best
    assert best is not None
    return best[1][::-1]


def slow_legal(labels: tuple[str, ...], tags: tuple[int, ...]) -> bool:
    names = [labels[tag] for tag in tags]
    for before, name in zip(["O", *names], names, strict=False):
        own = name[2:]
        if name.startswith("I-") and f"B-{own}" in labels and before not in (f"B-{own}", f"I-{own}"):
            return False
    return True


def slow_viterbi(scheme: TagScheme, logits: np.ndarray) -> list[int]:
    """Return the best legal tags of one text, with all transitions tried."""
    count = len(scheme.labels)
    after = [[slow_legal(scheme.labels, (tag,)) for tag in range(count)]]
    allowed = [[slow_legal_pair(scheme.labels, a, b) for b in range(count)] for a in range(count)]
    sums = [float(value) if after[0][tag] else -np.inf for tag, value in enumerate(logits[0])]
    back: list[list[int]] = []
    for row in logits[1:]:
        steps = []
        for tag in range(count):
            reached = [sums[other] if allowed[other][tag] else -np.inf for other in range(count)]
            steps.append(int(np.argmax(reached)))
        sums = [sums[step] + float(row[tag]) for tag, step in enumerate(steps)]
        back.append(steps)
    tags = [int(np.argmax(sums))]
    for steps in reversed(back):
        tags.append(steps[tags[-1]])
    return tags[::-1]


def slow_legal_pair(labels: tuple[str, ...], before: int, tag: int) -> bool:
    own = labels[tag][2:]
    needs = labels[tag].startswith("I-") and f"B-{own}" in labels
    return not needs or labels[before] in (f"B-{own}", f"I-{own}")


def test_tags_of_spans_are_told_from_others() -> None:
    scheme = scheme_of(("I-PER", "O", "B-PER", "I-LOC"))
    assert scheme.name == "bio" and scheme.type_names == ("PER", "LOC")
    assert scheme.types.tolist() == [0, -1, 0, 1, -1]
    assert scheme.begins.tolist() == [False, False, True, False, False]
    assert scheme.after.tolist() == [2, -1, -1, -1, -1]
    for labels in (("O", "NOUN"), ("O", "B-PER", "E-PER"), ("B-", "O"), ("O",), ("per", "loc")):
        assert scheme_of(labels).name == "plain"
    plain = scheme_of(("O", "NOUN"))
    assert plain.type_names == ("NOUN",) and plain.types.tolist() == [-1, 0, -1] and (plain.after < 0).all()


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[str, ...], list[list[list[int]]]]:
    labels = draw(st.sampled_from(LABEL_SETS))
    word = st.lists(st.integers(-3, 3), min_size=len(labels), max_size=len(labels))
    return labels, draw(st.lists(st.lists(word, max_size=4), max_size=4))


@given(cases())
@settings(max_examples=150, deadline=None)
def test_the_best_legal_tags_are_found_and_of_equal_ones_the_lowest(
    case: tuple[tuple[str, ...], list[list[list[int]]]],
) -> None:
    labels, texts = case
    scheme = scheme_of(labels)
    logits = Ragged.of(texts, np.float32, width=(len(labels),))
    found = scheme.decode(logits)
    assert found.fits(logits) and scheme.legal(found).all()
    for tags, text in zip(found, logits, strict=True):
        assert slow_legal(labels, tuple(tags.tolist()))
        if len(text):
            assert tags.tolist() == slow_viterbi(scheme, text) == slow_best(scheme, text)


@pytest.mark.parametrize("labels", LABEL_SETS)
def test_long_texts_are_decoded_as_by_a_slow_loop_and_alone_as_in_company(labels: tuple[str, ...]) -> None:
    generator = np.random.default_rng(len(labels))
    scheme = scheme_of(labels)
    logits = Ragged.of(
        [generator.normal(size=(count, len(labels))) for count in (30, 0, 1, 7, 30, 55)],
        np.float32,
        width=(len(labels),),
    )
    found = scheme.decode(logits)
    assert found.dtype == np.int64
    for row in range(len(logits)):
        if len(logits[row]):
            assert found[row].tolist() == slow_viterbi(scheme, logits[row])
        assert found[row].tolist() == scheme.decode(logits[[row]])[0].tolist()


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The lengths of the pieces that each search has gone through."""
    seen: list[list[int]] = []
    search = viterbi._search

    def recorded(logits: Ragged, *rest: np.ndarray) -> np.ndarray:
        seen.append(logits.lengths.tolist())
        return search(logits, *rest)

    monkeypatch.setattr(viterbi, "_search", recorded)
    return seen


def test_only_the_words_around_an_illegal_tag_are_searched(searched: list[list[int]]) -> None:
    scheme = scheme_of(("O", "B-A", "I-A"))
    text = np.tile(np.array([[2, 0, 0], [0, 2, 0], [0, 0, 2]], np.float32), (40_000, 1))
    text[[6_001, 90_000]] = [0, 1, 2]  # I-A behind O, which is illegal, and behind I-A, which is not
    found = scheme.decode(Ragged.of([text, text[:3]], np.float32, width=(3,)))
    assert found[0][6_000:6_003].tolist() == [0, 1, 2] and found[0][90_000:90_002].tolist() == [2, 1]
    assert sum(map(sum, searched)) <= 9


@pytest.mark.parametrize("first", [-10.0, 30.0])
def test_a_span_that_reaches_far_back_is_found_in_few_searches(searched: list[list[int]], first: float) -> None:
    scheme = scheme_of(("O", "B-A", "I-A"))
    text = np.tile(np.array([1.0, -40.0, 0.99], np.float32), (1000, 1))  # each word is nearly as well inside as outside
    text[0, 1], text[-1] = first, [0, -40, 20]
    found = scheme.decode(Ragged.of([text[:5], text], np.float32, width=(3,)))
    assert found[1].tolist() == slow_viterbi(scheme, text)
    assert found[1].tolist() == ([1, *[2] * 999] if first > 0 else [0] * 1000)
    assert len(searched) <= 12 and sum(map(sum, searched)) < 3000


def test_long_pieces_behind_many_short_ones_are_not_searched_again_and_again(searched: list[list[int]]) -> None:
    scheme = scheme_of(("O", "B-A", "I-A"))
    text = np.array([[1, -40_000, 0.999]] * 300 + [[0, -40_000, 1]] * 2000, np.float32)
    found = scheme.decode(Ragged.of([text], np.float32, width=(3,)))
    assert found[0].tolist() == slow_viterbi(scheme, text) == [0] * 2300
    assert len(searched) > 1 and sum(map(sum, searched)) <= 2 * len(text)


def test_legal_largest_logits_are_the_result() -> None:
    scheme = scheme_of(("O", "B-A", "I-A"))
    logits = Ragged.of([[[0, 2, 1], [0, 1, 1.5]], [[3, 0, 0]]], np.float32, width=(3,))
    assert scheme.decode(logits).values.tolist() == [1, 2, 0]
    assert len(scheme.decode(logits[:0])) == 0


def test_texts_with_an_i_that_continues_nothing_are_not_legal() -> None:
    scheme = scheme_of(("O", "B-A", "I-A", "B-B", "I-B"))
    tags = Ragged.of([[1, 2, 2], [2], [], [0, 2], [1, 4], [3, 4], [1, 0, 2]], np.int64)
    assert scheme.legal(tags).tolist() == [True, False, True, False, False, True, False]
