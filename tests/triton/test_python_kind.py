"""The repository with one Python model: what is written, and what it answers under a stub of Triton."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import liteft
from liteft.artifact import Artifact
from liteft.data import Split
from liteft.errors import ArtifactError, ConfigError, ModelError, VerificationError
from liteft.triton import gate
from liteft.words import words_of_texts
from tests.answered import made_artifact, questions
from tests.cache import Cache
from tests.exporting.conftest import random_texts, write_unverified
from tests.triton.server import PythonBackend, strings, texts_of

TEXTS = random_texts(12)
PAIRS = random_texts(12, seed=1)


def artifact_of(workshop: Any, tmp_path: Path, **keywords: Any) -> Artifact:
    """Return a tiny artifact that nothing was compared with."""
    pooling = "none" if keywords.get("task") == "tokens" else "cls"
    return write_unverified(workshop.loaded("bert", pooling, **keywords), tmp_path / "artifact")


def repository(artifact: Artifact, tmp_path: Path, split: Split | None = None) -> Path:
    """Return a repository of the kind "python" with a model named "tiny"."""
    pairs = PAIRS if artifact.manifest.paired else None
    verify = split or Split("validation", TEXTS, pairs)
    return liteft.export_triton(artifact, tmp_path / "out", verify=verify, name="tiny", kind="python").path


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
@pytest.mark.parametrize("paired", [False, True])
def test_labels_are_those_of_the_artifact(task: str, paired: bool, workshop: Any, tmp_path: Path) -> None:
    artifact = artifact_of(workshop, tmp_path, task=task, paired=paired)
    served = PythonBackend(repository(artifact, tmp_path) / "tiny")
    requests = [
        {"text": strings(*TEXTS[start:stop]), **({"pair": strings(*PAIRS[start:stop])} if paired else {})}
        for start, stop in ((0, 1), (1, 6), (6, 12))
    ]
    found = served.run(requests)
    with liteft.load(artifact.path) as classifier:
        expected = classifier.predict(list(zip(TEXTS, PAIRS, strict=True)) if paired else TEXTS)
        logits = classifier.logits(TEXTS, PAIRS if paired else None)
        probabilities = classifier.predict_proba(TEXTS, PAIRS if paired else None)
    joined = {name: np.concatenate([each[name] for each in found]) for name in found[0]}  # type: ignore[index]
    assert texts_of(joined["label"]) == [each.label for each in expected]
    np.testing.assert_array_equal(joined["score"][:, 0], np.float32([each.score for each in expected]))
    assert joined["logits"].tobytes() == logits.tobytes()
    assert joined["probabilities"].tobytes() == probabilities.tobytes()
    assert joined["truncated"][:, 0].tolist() == [each.truncated for each in expected]
    if task == "multi_label":
        chosen = [tuple(np.array(artifact.manifest.labels)[row].tolist()) for row in joined["chosen"]]
        assert chosen == [each.labels for each in expected] and joined["chosen"].any()


def test_scores_are_those_of_the_artifact(workshop: Any, tmp_path: Path) -> None:
    artifact = artifact_of(workshop, tmp_path, task="scores", labels=1)
    (found,) = PythonBackend(repository(artifact, tmp_path) / "tiny").run([{"text": strings(*TEXTS)}])
    with liteft.load(artifact.path) as scorer:
        assert found["score"][:, 0].tobytes() == scorer.scores(TEXTS).tobytes()  # type: ignore[index]
    assert not (tmp_path / "out" / "tiny" / "labels.txt").exists()


def test_words_are_tagged_as_json(workshop: Any, tmp_path: Path) -> None:
    artifact = artifact_of(workshop, tmp_path, task="tokens")
    with liteft.load(artifact.path) as tagger:
        expected = [each.to_dict() for each in tagger.predict(TEXTS)]
    split = workshop.learned("bert", "none", task="tokens", count=12)[1]
    (found,) = PythonBackend(repository(artifact, tmp_path, split) / "tiny").run([{"text": strings(*TEXTS)}])
    assert [json.loads(each) for each in texts_of(found["spans"])] == [each["spans"] for each in expected]  # type: ignore[index]
    tags = [json.loads(each) for each in texts_of(found["tags"])]  # type: ignore[index]
    assert tags == [each["tags"] for each in expected]
    assert any(each["spans"] for each in expected)


def test_roles_are_found_of_the_word_that_a_request_names(workshop: Any, tmp_path: Path) -> None:
    loaded = workshop.loaded("bert", "none", task="tokens", paired=True)
    artifact = write_unverified(loaded, tmp_path / "artifact", paired=False, marked=True)
    marked = np.array([0, 2, 1])
    texts = ["w1 w2 w3", "w4 w5 w6", "w4 w5 w6"]
    split = Split("validation", texts, words=words_of_texts(texts), marked=marked)
    served = PythonBackend(repository(artifact, tmp_path, split) / "tiny")
    predicate = marked.astype(np.int32).reshape(-1, 1)
    (found,) = served.run([{"text": strings(*texts), "predicate": predicate}])
    with liteft.load(artifact.path) as tagger:
        expected = [each.to_dict() for each in tagger.predict(list(zip(texts, marked.tolist(), strict=True)))]
    tags = [json.loads(each) for each in texts_of(found["tags"])]  # type: ignore[index]
    assert tags == [each["tags"] for each in expected]
    assert expected[1]["scores"] != expected[2]["scores"], "the predicate makes no difference"
    beyond, good = served.run(
        [
            {"text": strings("w1 w2"), "predicate": np.int32([[2]])},
            {"text": strings("w1"), "predicate": np.int32([[0]])},
        ]
    )
    assert isinstance(beyond, str) and "2" in beyond and isinstance(good, dict)


def test_questions_are_answered(cache: Cache, tmp_path: Path) -> None:
    path, split = made_artifact(cache), questions().validation
    made = liteft.export_triton(path, tmp_path / "out", verify=split, name="tiny", kind="python")
    served = PythonBackend(made.path / "tiny")
    assert split.pairs is not None
    (found,) = served.run([{"question": strings(*split.texts), "context": strings(*split.pairs)}])
    with liteft.load(path) as answerer:
        expected = answerer.predict(list(zip(split.texts, split.pairs, strict=True)))
    assert texts_of(found["answer"]) == [each.text for each in expected]  # type: ignore[index]
    places = [-1 if each.start is None else each.start for each in expected]
    assert found["start"][:, 0].tolist() == places  # type: ignore[index]
    assert any(place >= 0 for place in places)


def test_a_text_that_is_refused_fails_its_own_request_alone(workshop: Any, tmp_path: Path) -> None:
    served = PythonBackend(repository(artifact_of(workshop, tmp_path), tmp_path) / "tiny")
    good = {"text": strings("w1 w2")}
    alone, bad, beside = served.run([good, {"text": strings(b"w1 \xff", "w2")}, good])
    assert isinstance(bad, str) and "not UTF-8" in bad and "try: encode it as UTF-8" in bad
    assert isinstance(alone, dict) and isinstance(beside, dict)
    assert alone["logits"].tobytes() == beside["logits"].tobytes()


def test_an_engine_that_refuses_a_text_fails_its_own_request_alone(
    workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = PythonBackend(repository(artifact_of(workshop, tmp_path), tmp_path) / "tiny")
    encode = served.model.classifier.encode

    def refusing(texts: list[str]) -> Any:
        if "w9" in texts:
            raise liteft.errors.InputError("w9 is refused.")
        return encode(texts)

    monkeypatch.setattr(served.model.classifier, "encode", refusing)
    good, bad = served.run([{"text": strings("w1")}, {"text": strings("w9")}])
    assert isinstance(good, dict) and bad == "w9 is refused."


def test_only_the_outputs_that_were_asked_for_are_given(workshop: Any, tmp_path: Path) -> None:
    served = PythonBackend(repository(artifact_of(workshop, tmp_path), tmp_path) / "tiny")
    (found,) = served.run([{"text": strings("w1")}], asked=["label"])
    assert list(found) == ["label"]


def test_the_configuration_bounds_the_queue_and_names_the_labels(workshop: Any, tmp_path: Path) -> None:
    artifact = artifact_of(workshop, tmp_path)
    made = repository(artifact, tmp_path)
    config = PythonBackend(made / "tiny").config
    queue = config.dynamic_batching.default_queue_policy
    assert queue.max_queue_size > 0 and queue.default_timeout_microseconds > 0
    assert config.dynamic_batching.max_queue_delay_microseconds == 0
    assert {each.name: each.label_filename for each in config.output if each.label_filename} == {
        "probabilities": "labels.txt",
        "logits": "labels.txt",
    }
    assert (made / "tiny" / "labels.txt").read_text().splitlines() == list(artifact.manifest.labels)
    (warmup,) = config.model_warmup
    (given,) = warmup.inputs.items()
    data = (made / "tiny" / "warmup" / given[1].input_data_file).read_bytes()
    assert int.from_bytes(data[:4], "little") == len(data) - 4 and given[0] == "text"


def test_a_model_in_triton_imports_neither_torch_nor_onnx(workshop: Any, tmp_path: Path) -> None:
    made = repository(artifact_of(workshop, tmp_path), tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(made / 'tiny' / '1')!r}); import model; "
        "print([name for name in ('torch', 'transformers', 'onnx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_model_whose_artifact_was_changed_is_not_loaded(workshop: Any, tmp_path: Path) -> None:
    made = repository(artifact_of(workshop, tmp_path), tmp_path)
    card = made / "tiny" / "1" / "artifact" / "card.md"
    card.write_text("# other\n")
    with pytest.raises(ArtifactError, match=r"card\.md was changed"):
        PythonBackend(made / "tiny")


def test_a_copy_that_answers_otherwise_is_not_written(
    workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = artifact_of(workshop, tmp_path)
    monkeypatch.setattr(gate, "equal_rows", lambda *_: False)
    with pytest.raises(VerificationError, match="nothing was written"):
        repository(artifact, tmp_path)
    assert not (tmp_path / "out").exists()


# Asking for it


@pytest.mark.usefixtures("native")
def test_exported_with_this_target_an_artifact_has_its_repository_beside_it(workshop: Any, tmp_path: Path) -> None:
    folder, split = workshop.learned("bert")
    artifact = liteft.export(folder, tmp_path / "out", precision="fp32", target="triton", verify=split)
    listing = json.loads((artifact.path / "triton" / "liteft.json").read_text())
    assert {f"triton/{name}" for name in listing["files"]} < set(artifact.manifest.files)
    assert artifact.manifest.form.target == "triton" and artifact.manifest.graph_file == "model.onnx"
    with liteft.load(artifact) as classifier:
        assert classifier.predict(split.texts[0]).label in artifact.manifest.labels
    again = liteft.export(folder, tmp_path / "out", precision="fp32", target="triton", verify=split)
    assert again.manifest.form == artifact.manifest.form
    copied = liteft.export_triton(again, tmp_path / "alone", verify=split, kind="python")
    assert not any("triton" in name for name in copied.files)


def test_without_texts_nothing_is_written(workshop: Any, tmp_path: Path) -> None:
    artifact = artifact_of(workshop, tmp_path)
    with pytest.raises(ConfigError, match="verified on real texts"):
        liteft.export_triton(artifact, tmp_path / "out")


@pytest.mark.parametrize("name", ["", "a/b", "..", "a name", "é"])
def test_a_name_that_triton_would_not_take_is_refused(name: str, workshop: Any, tmp_path: Path) -> None:
    artifact = artifact_of(workshop, tmp_path)
    with pytest.raises(ConfigError, match="the model's name is"):
        liteft.export_triton(artifact, tmp_path / "out", verify=Split("texts", TEXTS), name=name)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_files_is_not_replaced(workshop: Any, tmp_path: Path) -> None:
    artifact = artifact_of(workshop, tmp_path)
    made = repository(artifact, tmp_path)
    (made / "notes.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="would be lost"):
        repository(artifact, tmp_path)
    (made / "notes.txt").unlink()
    assert repository(artifact, tmp_path) == made
    shutil.rmtree(made)
    made.mkdir()
    (made / "notes.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="would be lost"):
        repository(artifact, tmp_path)


def test_the_repository_of_another_model_is_not_replaced(workshop: Any, tmp_path: Path) -> None:
    artifact = artifact_of(workshop, tmp_path)
    verify = Split("texts", TEXTS)
    made = liteft.export_triton(artifact, tmp_path / "out", verify=verify, name="reviews", kind="python")
    with pytest.raises(ArtifactError, match="has the repository of another model, reviews, which would be replaced by"):
        liteft.export_triton(artifact, tmp_path / "out", verify=verify, name="intents", kind="python")
    assert made.changed() == []


def test_a_repository_says_what_was_changed_in_it(workshop: Any, tmp_path: Path) -> None:
    made = liteft.export_triton(
        artifact_of(workshop, tmp_path), tmp_path / "out", verify=Split("texts", TEXTS), name="tiny", kind="python"
    )
    assert made.changed() == []
    (made.path / "tiny" / "labels.txt").write_text("a\n")
    (made.path / "tiny" / "warmup" / "text").unlink()
    (made.path / "other").mkdir()
    (made.path / "other" / "config.pbtxt").write_text("")
    assert made.changed() == [
        "tiny/warmup/text is missing",
        "tiny/labels.txt was changed",
        "other/config.pbtxt was not written by LiteFT",
    ]
    assert "not run in a Triton server" in made.render()


def test_an_artifact_that_asks_for_trust_is_not_served(
    workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, split = workshop.learned("bert")
    monkeypatch.setattr("liteft.exporting.exporter.needs_trust", lambda _: True)
    with pytest.raises(ModelError, match="no model in Triton can say"):
        liteft.export(folder, tmp_path / "out", precision="fp32", target="triton", verify=split, trust=True)
    assert not (tmp_path / "out").exists()


def test_a_finished_artifact_that_asks_for_trust_is_not_served(
    workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(_: Artifact) -> None:
        raise ArtifactError("it has an operator that LiteFT does not know.")

    artifact = artifact_of(workshop, tmp_path)
    monkeypatch.setattr("liteft.triton.repository.check_graph", refusing)
    with pytest.raises(ArtifactError, match="cannot be served: it has an operator"):
        repository(artifact, tmp_path)


@pytest.mark.usefixtures("native")
def test_the_card_says_where_the_repository_is(workshop: Any, tmp_path: Path) -> None:
    folder, split = workshop.learned("bert")
    made = liteft.export(folder, tmp_path / "out", precision="fp32", target="triton", verify=split)
    assert "--model-repository=FOLDER/triton" in (made.path / "card.md").read_text()
    plain = liteft.export(folder, tmp_path / "plain", precision="fp32", verify=split)
    assert "Triton" not in (plain.path / "card.md").read_text()
