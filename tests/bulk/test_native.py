"""In the native engine the parts are the same bytes with any number of workers and threads, and rows as if alone."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from liteft.artifact import Artifact
from liteft.bulk import score
from liteft.runtime import load
from tests.modules import module_of

pytest.importorskip("torch", reason="what the native engine runs is exported with the extra 'train'")
conftest = module_of("bulk")
WORDS = [
    "the",
    "order",
    "came",
    "late",
    "and",
    "broken",
    "so",
    "please",
    "refund",
    "my",
    "card",
    "send",
    "a",
    "new",
    "one",
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A tiny encoder in int8."""
    from liteft.exporting import Limits, export
    from tests.exporting.conftest import Workshop

    root = tmp_path_factory.mktemp("exported")
    folder, split = Workshop(root).learned("bert", "cls")
    loose = Limits(agreement=0.5, accuracy_drop=0.5)  # tiny random models decide by hairs
    return export(folder, root / "artifact", precision="int8", verify=split, limits=loose)


def test_parts_do_not_depend_on_workers_or_threads(
    tmp_path: Path, exported: Artifact, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITEFT_LIBRARY", str(built / "libliteft.so"))
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=draw.randrange(1, 30))) for _ in range(1500)]
    rows = [{"id": n, "text": texts[n % 1200]} for n in range(1500)]
    source = conftest.write_table(tmp_path / "in.parquet", rows, group=250)
    with load(exported.path, threads=1, backend="native") as classifier:
        score(classifier, source, tmp_path / "here", unit_rows=500)
        alone = [classifier.predict(text) for text in texts[:40]]
    score(exported.path, source, tmp_path / "two", unit_rows=500, workers=2, threads=2)
    assert conftest.parts_of(tmp_path / "two") == conftest.parts_of(tmp_path / "here")
    found = conftest.scored_rows(tmp_path / "here")[:40]
    assert [(row["prediction"], row["score"]) for row in found] == [(one.label, round(one.score, 6)) for one in alone]
