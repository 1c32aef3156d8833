"""The native backend behind ``liteft.load``: what it computes, what it is asked for, and its life."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liteft.artifact import Artifact
from liteft.encoded import Encoded
from liteft.errors import ArtifactError, ConfigError, DeviceError, MissingExtraError
from liteft.form import ExportForm
from liteft.runtime import Classifier, EngineCounters, backends, load, native_engine, onnx_engine, predict_file, scoring
from liteft.runtime.encoder_file import read_classifier
from liteft.runtime.native_library import NativeLibrary

Exported = Callable[..., Artifact]


def words(count: int, *, longest: int = 28, seed: int = 0) -> list[str]:
    """Return texts of 1 to ``longest`` words of the exported models' vocabulary."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, longest + 1, count)
    return [" ".join(f"w{word}" for word in generator.integers(0, 200, length)) for length in lengths]


@pytest.fixture
def instructions(native: Path) -> str:
    """The instruction set of this machine; the test is skipped where "auto" would not take it."""
    library = ctypes.CDLL(str(native))
    library.liteft_instructions.restype = ctypes.c_char_p
    name: str = library.liteft_instructions().decode()
    if name == "portable":
        pytest.skip("on plain C++ the native backend has to be asked for by name")
    return name


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "electra-projected"])
@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-4), ("fp16", 1e-4), ("int8", 0.05)])
def test_logits_are_those_of_onnxruntime(
    native: Path, exported: Exported, family: str, pooling: str, precision: str, limit: float
) -> None:
    path = exported(family, pooling, precision).path
    texts = words(40)
    with load(path, backend="native") as ours, load(path, backend="onnxruntime") as theirs:
        found, wanted = ours.logits(texts), theirs.logits(texts)
        np.testing.assert_allclose(found, wanted, atol=limit)
        decided = np.sort(wanted, axis=1)
        sure = decided[:, -1] - decided[:, -2] > 2 * np.abs(found - wanted).max()
        assert sure.any()
        np.testing.assert_array_equal(found.argmax(axis=1)[sure], wanted.argmax(axis=1)[sure])
        assert ours.predict(texts[0]).backend == "native" and theirs.predict(texts[0]).backend == "onnxruntime"
        assert ours.precision == theirs.precision == ("int8" if precision == "int8" else "fp32")


def test_pairs_bring_their_types(native: Path, exported: Exported) -> None:
    path = exported("bert", "cls", paired=True).path
    firsts, seconds = words(20, longest=12), words(20, longest=12, seed=1)
    with load(path, backend="native") as ours, load(path, backend="onnxruntime") as theirs:
        np.testing.assert_allclose(ours.logits(firsts, seconds), theirs.logits(firsts, seconds), atol=1e-4)
        assert ours.predict((firsts[0], seconds[0])) != ours.predict((seconds[0], firsts[0]))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_text_alone_gets_the_bits_that_it_gets_in_a_batch(native: Path, exported: Exported, precision: str) -> None:
    texts = words(30)
    with load(exported("bert", "mean", precision).path, backend="native", threads=2) as classifier:
        together = classifier.logits(texts)
        for row, text in enumerate(texts):
            np.testing.assert_array_equal(classifier.logits([text])[0], together[row])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_threads_change_no_bit(native: Path, exported: Exported, precision: str) -> None:
    path, texts = exported("bert", "cls", precision).path, words(60)
    with load(path, backend="native", threads=1) as one, load(path, backend="native", threads=2) as two:
        np.testing.assert_array_equal(one.logits(texts), two.logits(texts))


@pytest.mark.serial
def test_an_idle_classifier_takes_no_processor_time(native: Path, exported: Exported) -> None:
    with load(exported("bert", "cls").path, backend="native", threads=4) as classifier:
        classifier.predict(words(1)[0])
        time.sleep(0.05)
        before = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - before < 0.05


def test_the_rows_that_were_computed_are_the_tokens(native: Path, exported: Exported) -> None:
    with load(exported().path, backend="native") as classifier:
        assert classifier.engine_counters == EngineCounters(0, 0)
        for number, texts in enumerate((words(1), words(40, seed=1), words(300, seed=2)), start=1):
            classifier.predict(texts)
            stats = classifier.stats
            assert stats.padded_tokens == stats.tokens and stats.padding_share == 0
            assert classifier.engine_counters == EngineCounters(calls=number, rows=stats.tokens)
            assert stats.batches == number


def test_a_token_budget_cuts_runs_in_the_order_of_arrival(native: Path, exported: Exported) -> None:
    texts = words(50)
    with load(exported().path, backend="native") as classifier:
        wanted = classifier.predict(texts)
        before = classifier.stats.batches
        assert list(classifier.stream(texts, token_budget=64)) == wanted
        assert classifier.stats.batches - before > 10
        assert classifier.stats.padding_share == 0


def test_onnxruntime_counts_nothing(artifact: Artifact) -> None:
    with load(artifact.path, backend="onnxruntime") as classifier:
        classifier.predict("great service")
        assert classifier.engine_counters is None


# What is asked for


def test_auto_takes_native_where_it_can(instructions: str, exported: Exported) -> None:
    with load(exported().path, device="cpu") as classifier:
        assert (classifier.backend, classifier.device) == ("native", "cpu")


def test_auto_takes_onnxruntime_for_a_flat_graph_and_native_says_why_not(native: Path, exported: Exported) -> None:
    path = exported(flat=True).path
    with load(path) as classifier:
        assert classifier.backend == "onnxruntime"
    with pytest.raises(DeviceError, match=r'the backend "native" was requested.*graph of \d+ nodes'):
        load(path, backend="native")


def test_auto_takes_onnxruntime_on_plain_instructions(
    native: Path, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NativeLibrary, "fast", False)
    with load(exported().path, device="cpu") as classifier:
        assert classifier.backend == "onnxruntime"
    with load(exported().path, backend="native") as classifier:
        assert classifier.backend == "native"


def test_cuda_goes_before_native_only_where_it_starts(
    instructions: str, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    if onnx_engine.has_cuda():
        pytest.skip("this onnxruntime has CUDA")
    monkeypatch.setattr(onnx_engine, "may_have_cuda", lambda: True)
    monkeypatch.setattr(onnx_engine, "has_cuda", lambda: True)  # as where CUDA's libraries do not load
    with pytest.warns(UserWarning, match="provider"), load(exported().path) as classifier:
        assert classifier.backend == "native"


def test_a_broken_onnxruntime_with_cuda_leaves_native_and_says_so(
    instructions: str, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_engine, "may_have_cuda", lambda: True)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.warns(UserWarning, match="CUDA is not used: onnxruntime cannot be imported"):
        classifier = load(exported().path)
    assert classifier.backend == "native"


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ({"engine_precision": "bf16", "backend": "onnxruntime"}, "backend='onnxruntime' was requested"),
        (
            {"engine_precision": "bf16", "backend": "onnxruntime", "device": "cuda"},
            "backend='onnxruntime' was requested",
        ),
        ({"engine_precision": "fp16"}, "available only on CUDA"),
        ({"engine_precision": "int8"}, "needs int8 weights"),
        ({"engine_precision": "int8", "device": "cuda"}, "is stored in fp32"),
    ],
)
def test_what_excludes_each_other_is_a_device_error(
    native: Path, exported: Exported, asked: dict[str, Any], part: str
) -> None:
    with pytest.raises(DeviceError) as caught:
        load(exported().path, **asked)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ({"engine_precision": "fp8"}, "no engine_precision 'fp8'"),
        ({"backend": "nativ"}, 'backend="native"'),
    ],
)
def test_a_choice_that_does_not_exist_is_a_config_error(
    native: Path, exported: Exported, asked: dict[str, Any], part: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(exported().path, **asked)
    assert part in str(caught.value)


def test_bf16_stays_near_where_the_processor_has_it(native: Path, exported: Exported) -> None:
    path, texts = exported("bert", "mean").path, words(40)
    with load(path, backend="native") as exact:
        wanted = exact.logits(texts)
    try:
        coarse = load(path, engine_precision="bf16")
    except DeviceError as error:
        assert "bf16 is not offered" in error.message
        pytest.skip(error.message)
    with coarse:
        assert (coarse.backend, coarse.precision) == ("native", "bf16")
        found = coarse.logits(texts)
    assert 0 < np.abs(found - wanted).max() < 0.05


def test_int8_may_be_asked_for_where_weights_are_int8(native: Path, exported: Exported) -> None:
    path, texts = exported(precision="int8").path, words(20)
    with load(path, backend="native") as usual, load(path, engine_precision="int8") as asked:
        assert (asked.backend, asked.precision) == ("native", "int8")
        assert np.array_equal(asked.logits(texts), usual.logits(texts))


def test_int8_refuses_bf16(native: Path, exported: Exported) -> None:
    with pytest.raises(DeviceError, match="is stored in int8"):
        load(exported(precision="int8").path, engine_precision="bf16")


def test_where_bf16_cannot_be_had_nothing_is_advised_that_excludes_it(
    native: Path, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(native_engine._PRECISIONS, "bf16", 99)  # one that no machine offers
    with pytest.raises(DeviceError, match="cannot run this classifier in bf16") as caught:
        load(exported().path, engine_precision="bf16")
    assert [str(hint) for hint in caught.value.fix] == ["leave out engine_precision"]


def test_without_onnxruntime_and_library_the_error_names_both(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "_native_where_fast", lambda *_: (None, "there is no libliteft.so."))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError) as caught:
        load(exported().path)
    assert "[cpu]'" in str(caught.value) and "there is no libliteft.so" in str(caught.value)


def test_a_graph_that_does_not_fit_its_manifest_is_an_error(
    native: Path, exported: Exported, new_artifact: Callable[..., Artifact]
) -> None:
    model, five = exported("bert", "mean").model_path.read_bytes(), tuple("abcde")
    changes: list[tuple[str, dict[str, Any]]] = [
        ("labels", {"labels": ("a", "b")}),
        ("inputs", {"labels": five, "inputs": ("input_ids", "attention_mask", "token_type_ids")}),
        ("pooling", {"labels": five, "pooling": "cls"}),
        ("float products", {"labels": five, "fallbacks": {"layers.0.attention.output": "float"}}),
        ("int8 scheme", {"labels": five, "form": ExportForm("int8")}),
    ]
    for name, fields in changes:
        with pytest.raises(ArtifactError, match=f"other {name} than its manifest"):
            load(new_artifact(name, model=model, **fields).path, backend="native")


def test_another_number_of_token_types_than_the_manifests_is_an_error(
    native: Path, exported: Exported, new_artifact: Callable[..., Artifact]
) -> None:
    model = exported("bert", "mean", paired=True)
    fields = {"labels": model.manifest.labels, "paired": True, "token_types": 3}
    with pytest.raises(ArtifactError, match="other token types than its manifest") as caught:
        load(new_artifact("types", model=model.model_path.read_bytes(), **fields).path, backend="native")
    assert caught.value.accepted == {"the manifest": "3", "the graph": "2"}


def test_a_file_is_classified_natively(native: Path, exported: Exported, tmp_path: Path) -> None:
    texts = words(20)
    (tmp_path / "in.txt").write_text("\n".join(texts) + "\n")
    path = exported().path
    done = predict_file(path, tmp_path / "in.txt", tmp_path / "out.jsonl", backend="native", threads=1)
    assert done.rows == 20
    with pytest.raises(DeviceError, match="is stored in int8"):
        predict_file(
            exported(precision="int8").path, tmp_path / "in.txt", tmp_path / "b.jsonl", engine_precision="bf16"
        )


# Its life


def test_eight_python_threads_at_once_get_what_one_gets(native: Path, exported: Exported) -> None:
    lists = [words(1 + 7 * number, seed=number) for number in range(8)]
    with load(exported("bert", "mean", "int8").path, backend="native", threads=2) as classifier:
        wanted = [classifier.logits(texts) for texts in lists]
        before = classifier.stats.tokens
        with ThreadPoolExecutor(8) as pool:
            for _ in range(5):
                for found, expected in zip(pool.map(classifier.logits, lists), wanted, strict=True):
                    np.testing.assert_array_equal(found, expected)
        assert classifier.engine_counters is not None
        assert classifier.engine_counters.rows == classifier.stats.tokens == 6 * before


def watched(classifier: Classifier) -> list[str]:
    """Let what the classifier's handle asks of the library be written down, runs with begin and end."""
    events: list[str] = []
    handle = classifier._engine._handle  # type: ignore[union-attr]
    real = handle.functions

    class Functions:
        liteft_counters = real.liteft_counters

        @staticmethod
        def liteft_run(*arguments: Any) -> int:
            events.append("begin")
            code: int = real.liteft_run(*arguments)
            events.append("end")
            return code

        @staticmethod
        def liteft_destroy(pointer: Any) -> None:
            events.append("destroy")
            real.liteft_destroy(pointer)

    handle.functions = Functions
    return events


def test_closing_during_a_run_frees_the_classifier_after_it(native: Path, exported: Exported) -> None:
    classifier = load(exported("bert", "mean").path, backend="native", threads=2)
    texts = words(900)
    wanted = classifier.logits(texts)
    events = watched(classifier)
    found: list[np.ndarray] = []
    started = threading.Event()

    def work() -> None:
        started.set()
        found.append(classifier.logits(texts))

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    while "begin" not in events:
        pass
    classifier.close()
    with pytest.raises(DeviceError, match="was closed"):
        classifier.predict("w1")
    thread.join()
    del thread
    gc.collect()
    np.testing.assert_array_equal(found[0], wanted)
    assert events == ["begin", "end", "destroy"]


@pytest.mark.parametrize("name", ["predict", "logits"])
def test_a_call_of_many_windows_ends_normally_when_its_classifier_is_closed(
    native: Path, exported: Exported, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(scoring, "WINDOW", 4)
    classifier = load(exported("bert", "mean").path, backend="native", threads=1)
    runs = 0
    run = native_engine.NativeEngine.run

    def closing(*arguments: Any) -> np.ndarray:
        nonlocal runs
        runs += 1
        classifier.close()
        return run(*arguments)

    monkeypatch.setattr(native_engine.NativeEngine, "run", closing)
    assert len(getattr(classifier, name)(words(10))) == 10
    assert runs == 3
    with pytest.raises(DeviceError, match="was closed"):
        getattr(classifier, name)(words(10))


def test_a_classifier_that_dies_is_freed(native: Path, exported: Exported) -> None:
    classifier = load(exported().path, backend="native")
    events = watched(classifier)
    del classifier
    gc.collect()
    assert events == ["destroy"]


def test_what_the_library_refuses_is_a_device_error_in_its_words(native: Path, exported: Exported) -> None:
    engine = native_engine.NativeEngine(exported(), threads=1)
    with pytest.raises(DeviceError, match=r"a batch of 1 texts, 2 tokens: id 9999 at token 1"):
        engine.run(Encoded.of([[4, 9999]]))
    engine = native_engine.NativeEngine(exported("bert", "cls", paired=True), threads=1)
    with pytest.raises(DeviceError, match="type id 7"):
        engine.run(Encoded.of([[4]], [[7]]))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_damaged_file_is_an_error_or_runs_and_never_a_crash(
    native: Path, exported: Exported, tmp_path: Path, precision: str
) -> None:
    artifact = exported("bert", "cls", precision)
    whole = artifact.model_path.read_bytes()
    generator = np.random.default_rng(7)
    places = [
        whole.index(name) for name in (b"layers", b"heads", b"inputs", b"EncoderClassifier", b"classifier.weight")
    ]
    file = tmp_path / "model.onnx"
    ran = 0
    for number in range(300):
        content = bytearray(whole)
        near = places[number % len(places)]
        for place in near + generator.integers(-40, 60, 2):
            content[place] ^= 1 << int(generator.integers(0, 8))
        file.write_bytes(content)
        try:
            engine = native_engine.NativeEngine(artifact, threads=1, stored=read_classifier(file))
            logits = engine.run(Encoded.of([[1, 5, 6, 2]]))
        except (ArtifactError, DeviceError):
            continue
        assert logits.shape == (1, 5)
        ran += 1
    assert 0 < ran < 300
