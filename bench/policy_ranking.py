"""Make data for a reranker of PolicyQA: passages of a company's privacy policy, ranked for a question.

    python bench/policy_ranking.py --data ../shared/data --out build/policy_ranking

A query is a question to one policy. Its candidates are passages of that policy: those that annotators answered it with
(score 1) and others (score 0). Annotators did not look at all passages, so some of the others answer it too, and no
ranking can be perfect. The policies of train and validation are those of the set's dev file, the policies of test those
of its test file; no policy is in two splits, but most questions are: annotators wrote few for each kind of passage.
Each call writes the same files, and prints how many test questions train also asks, and how well the test candidates
are ranked without learning: in a random order, and by the words that they share with the query (TF-IDF, cosine).
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liteft.metrics import query_metrics

SEED = 0
VALIDATION_POLICIES = 4
Row = dict[str, Any]


@dataclass(frozen=True)
class Policy:
    """A privacy policy: its distinct passages, and for each question the passages that answer it."""

    name: str
    passages: tuple[str, ...]
    answered: dict[str, set[str]]


@dataclass(frozen=True)
class Sizes:
    """How many queries of a split are kept, None for all, and how many candidates each has at most.

    Of some queries no two have the same question, since candidates with the same question are ranked together.
    """

    queries: int | None
    candidates: int


SIZES = {"train": Sizes(None, 3), "validation": Sizes(200, 12), "test": Sizes(500, 20)}


def main() -> int:
    """Write the files, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder with policyqa/dev.json and policyqa/test.json")
    parser.add_argument("--out", type=Path, required=True, help="folder for one .jsonl file per split")
    arguments = parser.parse_args()
    dev, test = (read(arguments.data / "policyqa" / f"{name}.json") for name in ("dev", "test"))
    policies = {"train": dev[VALIDATION_POLICIES:], "validation": dev[:VALIDATION_POLICIES], "test": test}
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    asked: set[str] = set()
    for split, sizes in SIZES.items():
        rows = list(rows_of(policies[split], sizes))
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (arguments.out / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        queries = len({(row["policy"], row["query"]) for row in rows})
        print(f"{split}: {len(policies[split])} policies, {queries:,} queries, {len(rows):,} pairs")
        questions = {row["query"].casefold() for row in rows}
        if split == "test":
            print(f"test: {len(questions & asked)} of {len(questions)} questions are asked in train, too")
        asked |= questions if split == "train" else set()
    for name, found in floors(rows).items():
        print(f"test, {name}: nDCG@10 {100 * found['ndcg_10'].mean():.1f}%, MRR {100 * found['mrr'].mean():.1f}%")
    return 0


def read(path: Path) -> list[Policy]:
    """Return the policies of a file in the form of SQuAD."""
    found = []
    for document in json.loads(path.read_text(encoding="utf-8"))["data"]:
        answered: dict[str, set[str]] = {}
        for paragraph in document["paragraphs"]:
            for question in paragraph["qas"]:
                answered.setdefault(" ".join(question["question"].split()), set()).add(paragraph["context"])
        passages = dict.fromkeys(paragraph["context"] for paragraph in document["paragraphs"])
        found.append(Policy(document["title"], tuple(passages), answered))
    return found


def rows_of(policies: Sequence[Policy], sizes: Sizes) -> Iterator[Row]:
    """Yield a row for each candidate of the chosen queries of some policies."""
    draw = random.Random(SEED)
    asked = [(policy, question) for policy in policies for question in policy.answered]
    draw.shuffle(asked)
    if sizes.queries is not None:
        once = {question.casefold(): (policy, question) for policy, question in asked}
        asked = list(once.values())[: sizes.queries]
    for policy, question in asked:
        answering = [passage for passage in policy.passages if passage in policy.answered[question]]
        others = [passage for passage in policy.passages if passage not in policy.answered[question]]
        answering = draw.sample(answering, min(len(answering), max(1, sizes.candidates // 2)))
        others = draw.sample(others, min(len(others), sizes.candidates - len(answering)))
        for passage in [*answering, *others]:
            score = int(passage in policy.answered[question])
            yield {"policy": policy.name, "query": question, "passage": passage, "score": score}


def floors(rows: Sequence[Row]) -> dict[str, dict[str, np.ndarray]]:
    """Return the metrics of the queries in two orders that need no training."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    gold = np.array([row["score"] for row in rows], dtype=np.float64)
    queries, passages = ([row[name] for row in rows] for name in ("query", "passage"))
    vectorizer = TfidfVectorizer(sublinear_tf=True).fit(sorted(set(passages)))
    shared = vectorizer.transform(queries).multiply(vectorizer.transform(passages)).sum(axis=1)
    orders = {"random order": np.random.default_rng(SEED).random(len(rows)), "shared words": np.asarray(shared).ravel()}
    return {name: query_metrics(gold, scores, queries) for name, scores in orders.items()}


if __name__ == "__main__":
    sys.exit(main())
