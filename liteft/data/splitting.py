"""Making the splits that a data set lacks: stratified, seeded, with duplicates on the same side.

Rows with the same normalised text form a group, and a group moves as a whole, so that no text is both trained on
and scored. Each group counts for the rarest of its labels; within a label, groups are drawn in random order
until the label's share is reached. No label disappears from the training split: a label's only group stays there.

This does not detect near-duplicates: texts that differ in a word are two texts.

Source: for the rarest-label rule, Sechidis et al. 2011, "On the stratification of multi-label data",
section 3.2.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from liteft.errors import ConfigError, DataError, Hint, option

__all__ = ["carve", "fold_numbers", "normalised", "text_hashes", "text_keys"]


def normalised(text: str, pair: str | None = None) -> str:
    """Return a text normalised for finding duplicates: compatibility characters, case and white space unified."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    folded = " ".join(text.casefold().split())
    return folded if pair is None else f"{folded}\0{normalised(pair)}"


def text_keys(texts: Sequence[str], pairs: Sequence[str] | None) -> list[str]:
    """Return a key for each text, or pair of texts, that is equal for duplicates."""
    if pairs is None:
        return [normalised(text) for text in texts]
    return [normalised(text, pair) for text, pair in zip(texts, pairs, strict=True)]


def text_hashes(texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray:
    """Return a hash of each text, or pair of texts, that is equal for duplicates: uint64 (texts,)."""
    digests = (
        hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest() for key in text_keys(texts, pairs)
    )
    return np.frombuffer(b"".join(digests), dtype="<u8")


def carve(
    keys: Sequence[str],
    labels: Sequence[tuple[str, ...]],
    fractions: Mapping[str, float],
    *,
    seed: int,
    held: Collection[str] = (),
    source: str = "the data",
) -> dict[str, np.ndarray]:
    """Return the rows of each part; "train" gets what is left.

    Args:
        keys: one key per row; rows with equal keys stay together.
        labels: the label names of each row; none or several in multi-label data.
        fractions: part -> share of all rows, each above 0, together below 1.
        seed: of the draw.
        held: keys that stay in "train": those of texts in an existing split.
        source: the data set's name, for messages.

    Returns:
        Part ("train" included) -> row indices, int64, ascending; the parts are disjoint and cover all rows.

    Raises:
        ConfigError: the fractions leave nothing to train on.
        DataError: there are too few different texts for the parts.
    """
    if any(not 0 < fraction < 1 for fraction in fractions.values()) or sum(fractions.values()) >= 1:
        raise ConfigError(
            "the validation and test fractions must each be between 0 and 1, and must leave rows to train on.",
            accepted=fractions,
            fix=Hint("validation_fraction=0.1, test_fraction=0.1", "--validation-fraction 0.1 --test-fraction 0.1"),
        )
    groups = _groups(keys)
    strata, members = _strata(groups, labels)
    fixed = {group for group, rows in enumerate(groups) if keys[rows[0]] in held}
    generator = np.random.default_rng(seed)
    order = {name: [int(group) for group in generator.permutation(strata[name])] for name in sorted(strata)}
    parts: dict[str, list[int]] = {}
    for part, fraction in fractions.items():
        parts[part] = _draw(order, groups, fraction * len(keys), fixed, generator)
    _give_back(parts, members, order)
    for part, fraction in fractions.items():
        if not parts[part]:
            enough = any(len(drawn) > len(fractions) for drawn in order.values())
            larger = [option(f"{part}_fraction", min(0.5, 2 * fraction))] if enough else ["add more texts"]
            none = [option("test_fraction", 0, note=", to make none")] if part == "test" else []
            different = len({name for names in labels for name in names})
            raise DataError(
                f"{source} has too few texts to make a {part} split: {len(groups):,} different texts, "
                f"{different:,} label{'s' if different != 1 else ''}.",
                accepted={"needed": "one label with two different texts for each split"},
                fix=[f"give a {part} file", *larger, *none],
            )
    taken = {group for chosen in parts.values() for group in chosen}
    parts["train"] = [group for group in range(len(groups)) if group not in taken]
    return {
        part: np.array(sorted(row for group in chosen for row in groups[group]), dtype=np.int64)
        for part, chosen in parts.items()
    }


def fold_numbers(keys: Sequence[str], labels: Sequence[tuple[str, ...]], count: int, *, seed: int) -> np.ndarray:
    """Return the fold of each row, from 0 to count - 1: int64 (rows,).

    The groups of each label are dealt out in random order, one to each fold in turn; the next label goes on with the
    fold after the last, so that folds are of similar size.

    Args:
        keys, labels: as for `carve`.
        count: number of folds.
        seed: of the order.
    """
    groups = _groups(keys)
    strata, _ = _strata(groups, labels)
    generator = np.random.default_rng(seed)
    dealt = [group for name in sorted(strata) for group in generator.permutation(strata[name]).tolist()]
    fold = np.zeros(len(keys), dtype=np.int64)
    for turn, group in enumerate(dealt):
        fold[groups[group]] = turn % count
    return fold


def _groups(keys: Sequence[str]) -> list[list[int]]:
    found: dict[str, list[int]] = {}
    for row, key in enumerate(keys):
        found.setdefault(key, []).append(row)
    return list(found.values())


def _strata(groups: list[list[int]], labels: Sequence[tuple[str, ...]]) -> tuple[dict[str, list[int]], list[set[str]]]:
    """Return the groups that count for each label, and the labels of each group."""
    members = [{name for row in group for name in labels[row]} for group in groups]
    counts = Counter(name for names in members for name in names)
    strata: dict[str, list[int]] = {}
    for group, names in enumerate(members):
        rarest = min(names, key=lambda name: (counts[name], name), default="")
        strata.setdefault(rarest, []).append(group)
    return strata, members


def _draw(
    order: dict[str, list[int]],
    groups: list[list[int]],
    target: float,
    fixed: set[int],
    generator: np.random.Generator,
) -> list[int]:
    """Take groups of ``target`` rows in total out of ``order``: from each label in proportion, never its last group."""
    sizes = {name: sum(len(groups[group]) for group in remaining) for name, remaining in order.items()}
    total = sum(sizes.values())
    shares = {name: target * size / total for name, size in sizes.items() if len(order[name]) > 1}
    quotas = _apportion(shares, max(1, round(sum(shares.values()))), generator) if shares else {}
    chosen: list[int] = []
    for name, quota in quotas.items():
        left = quota
        kept: list[int] = []
        for position, group in enumerate(order[name]):
            size = len(groups[group])
            last = position == len(order[name]) - 1 and not kept
            if left > 0 and not last and size <= 2 * left and group not in fixed:
                chosen.append(group)
                left -= size
            else:
                kept.append(group)
        order[name] = kept
    return chosen


def _apportion(shares: Mapping[str, float], total: int, generator: np.random.Generator) -> dict[str, int]:
    """Round shares to whole rows that sum to ``total``, by largest remainder; the generator breaks ties."""
    names = sorted(shares)
    exact = np.array([shares[name] for name in names])
    rows = np.floor(exact).astype(np.int64)
    ties = generator.random(len(names))
    by_remainder = np.lexsort((ties, rows - exact))
    for position in range(max(0, total - int(rows.sum()))):
        rows[by_remainder[position % len(names)]] += 1
    return {name: int(count) for name, count in zip(names, rows, strict=True)}


def _give_back(parts: dict[str, list[int]], members: list[set[str]], order: dict[str, list[int]]) -> None:
    """Return groups to the training split until it contains every label again."""
    kept = {name for remaining in order.values() for group in remaining for name in members[group]}
    for chosen in parts.values():
        for group in list(chosen):
            if members[group] - kept:
                chosen.remove(group)
                kept |= members[group]
