"""Checks that artifacts load in optimum and predict the same there.

optimum-onnx 0.1.0 needs transformers below 4.58 and LiteFT needs transformers 5, so they cannot share an environment.
Therefore this script runs twice. Started by you, it asks LiteFT for the logits of some texts, makes a virtual
environment with optimum's own pins, and starts itself there. That second process loads the folder as a user of optimum
would, with ORTModelForSequenceClassification and AutoTokenizer, and writes its logits. Then both are compared. The last
line printed is a JSON document; the exit status is 1 if they disagree.

An artifact that tags words is loaded with ORTModelForTokenClassification. The logits that are compared are those of the
first tokens of words, in texts that it reads in one piece. The pipeline "token-classification", with the strategy
"first", must give LiteFT's spans, and their scores, wherever the likeliest tags of the words are legal: elsewhere
LiteFT takes the likeliest legal ones, and the pipeline joins what it finds.

An artifact that answers questions is loaded with ORTModelForQuestionAnswering. The logits that are compared are those
of starts at the first and of ends at the last tokens of words, in questions whose contexts it reads in one piece. The
pipeline "question-answering" must give LiteFT's best answer, without the threshold of no answer, which it does not
know.

    python bench/check_optimum.py OUT/fp32 OUT/int8 --environment /tmp/optimum
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from machine import ROOT, commit

REQUIREMENTS = (["torch==2.13.0"], ["optimum-onnx==0.1.0", "transformers<4.58", "onnxruntime"])
PACKAGES = ("torch", "transformers", "optimum", "optimum-onnx", "onnxruntime", "tokenizers", "numpy")
TEXTS = [
    "A film that knows exactly what it is, and is it beautifully.",
    "terrible",
    "Two hours of my life that nobody will give back to me.",
    "How far is it from Denver to Aspen ?",
    "Please move the alarm from six to half past seven tomorrow morning, and tell me when it rains.",
    "Not good, not bad: a chair.",
    "",
    "Ünïcödé, 漢字 and an emoji 🙂 walk into a bar.",
    "the slow middle act is saved by a performance of rare wit " * 40,
    "What is the capital of Yugoslavia ?",
]
MODELS = {
    "texts": "ORTModelForSequenceClassification",
    "words": "ORTModelForTokenClassification",
    "answers": "ORTModelForQuestionAnswering",
}
NAMED_TEXTS = [
    "Peter Blackburn flew from Brussels to New York on Monday.",
    "The European Commission said on Thursday it disagreed with German advice.",
    "China's Li Ning beat Morten Frost (Denmark) 15-7, 15-2 in Kuala Lumpur!",
    "U.N. officials in Geneva met Ms. O'Neill of Amnesty International.",
    "Real Madrid drew with AC Milan; Zürich's FC lost.",
    "SOCCER - JAPAN GET LUCKY WIN , CHINA IN SURPRISE DEFEAT .",
    "Rain.",
]
QUESTIONS = [
    ("Who flew to New York?", "Peter Blackburn flew from Brussels to New York on Monday, and Ms. O'Neill stayed."),
    ("What did the Commission disagree with?", NAMED_TEXTS[1]),
    ("Where did Li Ning beat Morten Frost?", NAMED_TEXTS[2]),
    (
        "Which data are shared?",
        "We share your name, e-mail address and location data with partners, but never sell them.",
    ),
    ("How long are logs kept?", "Logs are kept for 90 days (or 30, if you ask us to), and then they are erased."),
    ("Which club is from Zürich?", "Real Madrid drew with AC Milan; Zürich's FC lost."),
    ("Was?", "Rain."),
]


def main() -> int:
    """Compare, write the result, and return 0 if LiteFT and optimum agree, or else 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("artifacts", type=Path, nargs="+", help="artifact folders")
    parser.add_argument("--environment", type=Path, help="folder of the virtual environment, which is made if missing")
    parser.add_argument("--texts", type=Path, help="a text file with one text per line; default: built-in texts")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "optimum.json")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside is not None:
        arguments.inside.write_text(json.dumps(ask_optimum(arguments.artifacts[0], json.loads(sys.stdin.read()))))
        return 0
    if arguments.environment is None:
        parser.error("--environment FOLDER is needed, for a virtual environment with optimum")
    texts = arguments.texts.read_text(encoding="utf-8").splitlines() if arguments.texts else TEXTS
    make_environment(arguments.environment)
    compared = []
    for artifact in arguments.artifacts:
        liteft = ask_liteft(artifact, texts)
        question = {name: liteft[name] for name in ("texts", "pairs", "kind")}
        optimum = start_inside(arguments.environment, artifact, question)
        compared.append({"artifact": artifact.name, **compare(liteft, optimum)})
    names = [artifact.name for artifact in arguments.artifacts]
    result = {
        "agrees": all(one["agrees"] for one in compared),
        "texts": len(liteft["texts"]),
        "artifacts": compared,
        "versions": {"liteft": liteft["versions"], "optimum": optimum["versions"]},
        "command": " ".join(["python bench/check_optimum.py", *names, "--environment DIR"]),
        "machine": f"{platform.machine()}, {platform.system()}",
        "commit": commit(),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))
    return 0 if result["agrees"] else 1


def ask_liteft(artifact: Path, texts: list[str]) -> dict[str, Any]:
    """Return LiteFT's logits and labels, a row for each text or word, and what the manifest says of the file."""
    from liteft.answer_spans import BEGIN
    from liteft.runtime import AnswerClassifier, TokenClassifier, load

    with load(
        artifact, device="cpu", backend="onnxruntime"
    ) as classifier:  # as optimum: int8 rounds otherwise elsewhere
        manifest = classifier.manifest
        pairs = texts[::-1] if manifest.paired else None
        spans, kind, labels = None, "texts", None
        if isinstance(classifier, AnswerClassifier):
            kind = "answers"
            asked = [pair for pair in QUESTIONS if len(classifier.encode([pair[0]], [pair[1]]).encoded) == 1]
            texts, pairs = [list(column) for column in zip(*asked, strict=True)]
            logits = [row[row[:, BEGIN] >= 0, :BEGIN].tolist() for row in classifier.logits(texts, pairs)]
            labels = [[found.top[0].text] for found in classifier.predict(asked, top_k=1)]
        elif isinstance(classifier, TokenClassifier):
            kind = "words"
            texts = [text for text in [*NAMED_TEXTS, *texts] if len(classifier.encode([text]).encoded) == 1]
            logits = [row.tolist() for row in classifier.logits(texts)]
            spans = [plain_spans(*answer) for answer in zip(classifier.predict(texts), logits, strict=True)]
        else:
            logits = [[row.tolist()] for row in classifier.logits(texts, pairs)]
        named = [[classifier.labels[row.index(max(row))] for row in rows] for rows in logits]
        return {
            "texts": texts,
            "pairs": pairs,
            "kind": kind,
            "logits": logits,
            "labels": named if labels is None else labels,
            "spans": spans,
            "manifest": {
                **{name: getattr(manifest, name) for name in ("task", "family", "pooling", "paired", "graph")},
                "precision": manifest.form.precision,
                "graph_form": "function" if manifest.one_node else "flat",
            },
            "versions": manifest.versions,
        }


def plain_spans(tagged: Any, logits: list[list[float]]) -> list[list[Any]] | None:
    """Return type, start, end and score of LiteFT's spans, or None if they are not made of the likeliest tags."""
    most = [max(row) for row in logits]
    likeliest = [1 / sum(math.exp(value - top) for value in row) for row, top in zip(logits, most, strict=True)]
    if any(abs(score - best) > 1e-6 for score, best in zip(tagged.scores, likeliest, strict=True)):
        return None
    return [[span.label, span.start, span.end, span.score] for span in tagged.spans]


def ask_optimum(artifact: Path, question: dict[str, Any]) -> dict[str, Any]:
    """Return optimum's logits, of each text alone and of all texts in one padded batch, and its labels and spans."""
    from importlib import metadata

    import optimum.onnxruntime
    from transformers import AutoTokenizer, pipeline

    kind = question["kind"]
    model = getattr(optimum.onnxruntime, MODELS[kind]).from_pretrained(artifact)
    tokenizer = AutoTokenizer.from_pretrained(artifact)

    def logits(start: int, end: int) -> list[list[list[float]]]:
        columns = [question[name][start:end] for name in ("texts", "pairs") if question[name] is not None]
        encoded = tokenizer(*columns, truncation=True, padding=True, return_tensors="pt")
        found = model(**encoded)
        if kind == "answers":
            ends = zip(found.start_logits.tolist(), found.end_logits.tolist(), strict=True)
            return [
                ends_of_words(*both, encoded.word_ids(place), encoded.sequence_ids(place))
                for place, both in enumerate(ends)
            ]
        rows = found.logits.tolist()
        return [
            first_tokens(row, encoded.word_ids(place)) if kind == "words" else [row] for place, row in enumerate(rows)
        ]

    count = len(question["texts"])
    batch = logits(0, count)
    spans = None
    if kind == "answers":
        reader = pipeline("question-answering", model=model, tokenizer=tokenizer)
        asked = zip(question["texts"], question["pairs"], strict=True)
        labels = [[reader(question=one, context=other, max_answer_len=30)["answer"]] for one, other in asked]
    else:
        labels = [[model.config.id2label[row.index(max(row))] for row in rows] for rows in batch]
    if kind == "words":
        tag = pipeline("token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="first")
        spans = [
            [[span["entity_group"], span["start"], span["end"], float(span["score"])] for span in tag(text)]
            if text
            else []
            for text in question["texts"]
        ]
    return {
        "alone": [logits(row, row + 1)[0] for row in range(count)],
        "batch": batch,
        "labels": labels,
        "spans": spans,
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }


def ends_of_words(
    start: list[float], end: list[float], words: list[int | None], sequences: list[int | None]
) -> list[list[float]]:
    """Return the start logit of the first token and the end logit of the last token of each word of the context.

    Args:
        start, end: logits of all tokens.
        words: the word of each token, None for special tokens.
        sequences: 0 for tokens of the question, 1 for those of the context, None for special tokens.
    """
    tokens: dict[int, list[int]] = {}
    for place, (word, sequence) in enumerate(zip(words, sequences, strict=True)):
        if sequence == 1 and word is not None:
            tokens.setdefault(word, []).append(place)
    return [[start[places[0]], end[places[-1]]] for places in tokens.values()]


def first_tokens(rows: list[list[float]], words: list[int | None]) -> list[list[float]]:
    """Return the rows of the first tokens of words; ``words`` has the word of each token, None for special tokens."""
    before = [None, *words[:-1]]
    return [row for row, word, last in zip(rows, words, before, strict=True) if word is not None and word != last]


def make_environment(environment: Path) -> None:
    """Make the virtual environment if it is missing, and install optimum and its pins."""
    if not python_of(environment).is_file():
        print(f"making {environment}, which takes a few minutes", file=sys.stderr)
        venv.create(environment, with_pip=True)
    for packages in REQUIREMENTS:
        subprocess.run([python_of(environment), "-m", "pip", "install", "--quiet", *packages], check=True)


def start_inside(environment: Path, artifact: Path, question: dict[str, Any]) -> dict[str, Any]:
    """Run this script in the virtual environment, and return what it wrote."""
    answer = environment.resolve() / "answer.json"
    command = [python_of(environment), Path(__file__).resolve(), artifact.resolve(), "--inside", answer]
    subprocess.run(command, input=json.dumps(question), text=True, check=True, cwd=environment)
    found: dict[str, Any] = json.loads(answer.read_text())
    return found


def python_of(environment: Path) -> Path:
    """Return the environment's interpreter."""
    return environment.resolve() / "bin" / "python"


def compare(liteft: dict[str, Any], optimum: dict[str, Any]) -> dict[str, Any]:
    """Return whether both agree (every label and span, and every logit within the precision's limit), with numbers."""
    limit = 1e-2 if liteft["manifest"]["precision"] == "int8" else 1e-4
    differences = {way: largest_difference(liteft["logits"], optimum[way]) for way in ("alone", "batch")}
    ours, theirs = flat(liteft["labels"]), flat(optimum["labels"])
    same = sum(own == other for own, other in zip(ours, theirs, strict=True))
    agrees = same == len(ours) and max(differences.values()) <= limit
    found: dict[str, Any] = {"labels": len(ours), "same_labels": same, "largest_logit_difference": differences}
    if liteft["spans"] is not None:
        plain = [both for both in zip(liteft["spans"], optimum["spans"], strict=True) if both[0] is not None]
        agreed = [same_spans(*both, limit) for both in plain]
        agrees = agrees and all(agreed)
        found |= {
            "texts_of_legal_tags": len(plain),
            "texts_of_same_spans": sum(agreed),
            "spans": sum(len(own) for own, _ in plain),
        }
    return {"agrees": agrees, **found, "limit": limit, **liteft["manifest"]}


def same_spans(ours: list[list[Any]], theirs: list[list[Any]], limit: float) -> bool:
    """Return whether spans are the same ones, with scores within a limit."""
    if [span[:3] for span in ours] != [span[:3] for span in theirs]:
        return False
    return all(abs(own[3] - other[3]) <= limit for own, other in zip(ours, theirs, strict=True))


def largest_difference(ours: list[Any], theirs: list[Any]) -> float:
    """Return the largest difference of logits, rows of texts."""
    pairs = zip(flat(flat(ours)), flat(flat(theirs)), strict=True)
    return max(abs(own - other) for own, other in pairs)


def flat(rows: list[Any]) -> list[Any]:
    """Return the entries of all rows."""
    return [entry for row in rows for entry in row]


if __name__ == "__main__":
    sys.exit(main())
