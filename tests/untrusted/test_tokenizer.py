"""A tokenizer.json that could end the process, or never end, is refused; those that people publish are taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tokenizers import Tokenizer

from liteft.artifact import Artifact
from liteft.errors import ArtifactError
from liteft.tokenization import TextTokenizer
from liteft.untrusted.charsmap import check_charsmap
from liteft.untrusted.patterns import check_pattern
from liteft.untrusted.tokenizer import checked_tokenizer
from tests.bench.conftest import load_script
from tests.modules import module_of


@pytest.fixture(scope="module")
def seeds() -> ModuleType:
    return load_script("fuzz_seeds")


@pytest.fixture(scope="module")
def contents(seeds: ModuleType) -> dict[str, str]:
    """A tokenizer.json of every model."""
    return seeds.tokenizers()


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram", "words", "mapped"])
def test_a_tokenizer_of_every_model_is_taken_as_it_is(contents: dict[str, str], kind: str) -> None:
    assert checked_tokenizer(contents[kind].encode()) == contents[kind]


def changed(contents: dict[str, str], kind: str, **changes: Any) -> bytes:
    """Return one of them with some keys changed; model__x is a key of the model."""
    content = json.loads(contents[kind])
    for name, value in changes.items():
        where = content["model"] if name.startswith("model__") else content
        where[name.removeprefix("model__")] = value
    return json.dumps(content).encode()


VOCABULARY = {"[UNK]": 0, "a": 1}
LONGER = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 60}
SPLIT = {"type": "Split", "pattern": {"Regex": "(a|b)+"}, "behavior": "Isolated", "invert": False}
FAR = {"id": "x", "ids": [1 << 40], "tokens": ["x"]}
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {},
}


@pytest.mark.parametrize(
    ("kind", "changes", "part"),
    [
        ("words", {"model__vocab": VOCABULARY | {"b": 1 << 32}}, "an id of 4294967296"),
        ("words", {"model__vocab": VOCABULARY | {"b": (1 << 32) - 1}}, "an id of 4294967295"),
        ("words", {"model__vocab": VOCABULARY | {"b": 3_000_000}}, "an id of 3000000"),
        ("words", {"model__vocab": VOCABULARY | {"b": True}}, "not an integer"),
        ("words", {"model__vocab": VOCABULARY | {"\ud800": 2}}, "half a surrogate pair"),
        ("words", {"model__unk_token": "none"}, "unknown token is not in the vocabulary"),
        ("words", {"added_tokens": [{"id": 1 << 31, "content": "x"}]}, "the id 2147483648"),
        ("words", {"normalizer": {"type": "Unheard"}}, "unknown type, 'Unheard'"),
        ("words", {"normalizer": {"type": "Lowercase", "more": 1}}, "unknown key, 'more'"),
        ("words", {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAEAAA=="}}, "truncated or"),
        (
            "words",
            {"normalizer": {"type": "Sequence", "normalizers": [LONGER] * 2}},
            "makes texts much longer",
        ),
        ("words", {"pre_tokenizer": {"type": "FixedLength", "length": 0}}, "not between 1"),
        (
            "words",
            {"pre_tokenizer": SPLIT | {"pattern": {"Regex": "(a+)+$"}}},
            "may take exponential time",
        ),
        ("words", {"post_processor": TEMPLATE | {"single": TEMPLATE["pair"]}}, "every text exactly once"),
        ("words", {"post_processor": TEMPLATE | {"special_tokens": {"x": FAR}}}, "no ids"),
        ("words", {"model__type": "Spell"}, "unknown type, 'Spell'"),
        ("bpe", {"model__merges": [["a", "nowhere"]]}, "not pairs of tokens"),
        ("bpe", {"model__dropout": 0.5}, "different tokens each time"),
        ("unigram", {"model__unk_id": 1 << 20}, "unknown token is not in the vocabulary"),
        ("unigram", {"model__vocab": [["[UNK]", 0.0], ["", -1.0]]}, "an empty token"),
        ("unigram", {"model__vocab": [["[UNK]", 0.0], ["a", 1e300]]}, "an invalid score"),
        ("wordpiece", {"model__max_input_chars_per_word": 10**9}, "not between 1"),
    ],
)  # fmt: skip
def test_what_could_end_the_process_is_named(
    contents: dict[str, str], kind: str, changes: dict[str, Any], part: str
) -> None:
    with pytest.raises(ValueError, match=part):
        checked_tokenizer(changed(contents, kind, **changes))


def test_padding_and_truncation_are_taken_out(contents: dict[str, str]) -> None:
    baked = Tokenizer.from_str(contents["words"])
    baked.enable_truncation(3)
    baked.enable_padding(length=9)
    assert json.loads(checked_tokenizer(baked.to_str().encode())) == json.loads(contents["words"])


def test_a_compiled_map_does_what_it_did_and_one_that_leads_out_of_itself_is_refused(seeds: ModuleType) -> None:
    text = seeds.charsmap({"ﬁ": "fi", "é": "e"})
    check_charsmap(text)
    content = json.loads(seeds.tokenizers()["mapped"])
    content["normalizer"]["precompiled_charsmap"] = text
    made = Tokenizer.from_str(json.dumps(content))
    assert made.normalizer.normalize_str("ﬁté") == "fite"
    import base64

    raw = bytearray(base64.b64decode(text))
    raw[4:8] = (0xFFFFFC00 & 0x7FFFFFFF).to_bytes(4, "little")  # the root's children lie far behind
    with pytest.raises(ValueError, match="points outside itself"):
        check_charsmap(base64.b64encode(bytes(raw)).decode())
    with pytest.raises(ValueError, match="unterminated text"):
        check_charsmap(base64.b64encode(base64.b64decode(text)[:-1]).decode())


@pytest.mark.parametrize(
    "pattern",
    [
        r"\s+", " {2,}", r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+", r"'s|'t|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", r"[0-9]",
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+",
    ],
)  # fmt: skip
def test_patterns_of_published_tokenizers_are_taken(pattern: str) -> None:
    check_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "a*a*b", r"\s+x", "(a|aa)+b", "a{0,9}" * 9, r"(a)\1", "a{9999}", "x" * 2000, "a**", "(?<=a)b", ""],
)
def test_patterns_that_can_go_back_are_not(pattern: str) -> None:
    with pytest.raises(ValueError, match="may take exponential time"):
        check_pattern(pattern)


@pytest.fixture
def artifact(tmp_path: Path) -> Callable[[bytes], Artifact]:
    """A function that writes an artifact with a tokenizer.json of its own, hashes that fit."""
    tiny = module_of("runtime", "tiny.py")
    seeds = load_script("fuzz_seeds")

    def write(content: bytes) -> Artifact:
        made = tiny.write_artifact(tmp_path / "artifact")
        (made.path / "tokenizer.json").write_bytes(content)
        seeds.mended(made.path)
        from liteft.artifact import read_artifact

        return read_artifact(made.path)

    return write


def test_an_artifact_says_in_its_own_words_what_is_wrong_with_its_tokenizer(
    artifact: Callable[[bytes], Artifact],
) -> None:
    for content in (b"[]", b"[" * 100_000, b'{"model": {"type": "BPE", "vocab": {}, "merges": []}}'):
        with pytest.raises(ArtifactError, match=r"tokenizer\.json cannot be used: ") as caught:
            artifact(content).tokenizer()
        assert caught.value.fix


def test_a_pattern_is_taken_from_whom_the_caller_trusts(
    artifact: Callable[[bytes], Artifact], contents: dict[str, str]
) -> None:
    made = artifact(changed(contents, "words", pre_tokenizer=SPLIT))
    with pytest.raises(ArtifactError, match="trust=True") as caught:
        made.tokenizer()
    assert "--trust" in caught.value.command_text() and "trust=True" not in caught.value.command_text()
    assert isinstance(made.tokenizer(trust=True), TextTokenizer)
