"""The model card of an artifact: what the model is, how good it is, how it was made and how the file was checked.

It is written from the manifest alone, so the card and manifest.json cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from liteft.answer_spans import AnswerForm
from liteft.arms import ARMS
from liteft.artifact import Manifest
from liteft.exporting.card_promise import manifest_promise
from liteft.floors import not_beaten
from liteft.layout import PairLayout
from liteft.schemes import SCHEMES
from liteft.tasks import Task
from liteft.text_tables import metric_words

__all__ = ["card_text"]

_PRECISIONS = {
    "fp32": "float32",
    "fp16": "matrices stored in float16, computed in float32",
}
_DTYPES = {"onnx/model.onnx": "fp32", "onnx/model_fp16.onnx": "fp16", "onnx/model_quantized.onnx": "q8"}
_JAVASCRIPT = """
import { pipeline } from "@huggingface/transformers";

const classifier = await pipeline("text-classification", "FOLDER", { dtype: "DTYPE" });
await classifier("a text");
""".strip()
_JAVASCRIPT_WORDS = """
import { pipeline } from "@huggingface/transformers";

const tagger = await pipeline("token-classification", "FOLDER", { dtype: "DTYPE" });
await tagger("a text");
""".strip()
_JAVASCRIPT_ANSWERS = """
import { pipeline } from "@huggingface/transformers";

const answerer = await pipeline("question-answering", "FOLDER", { dtype: "DTYPE" });
Object.assign(answerer.tokenizer, { SETTINGS }); // which it does not always know itself
await answerer("a question", "the context that answers it");
""".strip()
_JAVASCRIPT_PAIRS = """
import { AutoModelForSequenceClassification, AutoTokenizer } from "@huggingface/transformers";

const tokenizer = await AutoTokenizer.from_pretrained("FOLDER");
const model = await AutoModelForSequenceClassification.from_pretrained("FOLDER", { dtype: "DTYPE" });
const { logits } = await model(tokenizer("a text", { text_pair: "another", return_token_type_ids: true }));
""".strip()
_SHOWN: tuple[str, ...] = (
    "f1",
    "precision",
    "recall",
    "conlleval_f1",
    "accuracy",
    "exact_match",
    "micro_f1",
    "macro_f1",
)
_SHOWN += ("spearman", "pearson", "ndcg_10", "mrr")
_MOST_TYPES = 40  # rows of a table by label


def card_text(manifest: Manifest, *, title: str, trust: bool = False, pairs: PairLayout | None = None) -> str:
    """Return the model card as Markdown.

    Args:
        manifest: of the artifact; the sizes shown do not include the card itself.
        title: the heading.
        trust: the artifact can only be loaded with ``trust=True``, so the example has it.
        pairs: how a model of pairs or questions reads two texts.
    """
    parts = [
        f"# {title}\n",
        _what(manifest),
        "## How good it is\n",
        _metrics(manifest),
        "## How it was made\n",
        _origin(manifest),
        "## How it was checked\n",
        _verification(manifest),
        "## Use\n",
        _use(manifest, trust, pairs),
    ]
    return "\n".join(parts)


def _what(manifest: Manifest) -> str:
    shown = ", ".join(manifest.labels[:20]) + (", …" if len(manifest.labels) > 20 else "")
    graph = "written from the weights" if manifest.graph == "built" else "traced by torch.onnx.export"
    if manifest.one_node:
        graph += " as one node, with its definition in standard operators beside it"
    rows = {
        "Task": manifest.task.description
        + ("" if manifest.answers or manifest.task.numeric else f", {len(manifest.labels)} labels")
        + (", pairs of texts" if manifest.paired and not manifest.answers else ""),
        **({"Answers": _answers(manifest.answers)} if manifest.answers else {"Labels": shown}),
        "Architecture": f"{manifest.family}, pooling {manifest.pooling}",
        "Longest text": _longest(manifest),
        "Precision": _precision(manifest),
        "Graph": f"ONNX, {graph}; from {', '.join(manifest.inputs)} to logits, {_after(manifest)}",
        manifest.graph_file: f"{manifest.files[manifest.graph_file].bytes / 1e6:.1f} MB",
    }
    if manifest.vocabulary is not None:
        rows["Vocabulary"] = _vocabulary(manifest.vocabulary)
    return _table(("", ""), list(rows.items()))


def _answers(form: AnswerForm) -> str:
    """Return in words how questions are read and answered."""
    said = f"up to {form.max_answer} tokens long; "
    if form.no_answer is None:
        return said + "every question is answered"
    return said + f"given if their logits exceed those of no answer by more than {form.no_answer:.2f}"


def _longest(manifest: Manifest) -> str:
    if manifest.answers is not None:
        return (
            f"any context; more than {manifest.max_tokens} tokens, with the question, are read in windows that share "
            f"{manifest.answers.stride} tokens; {manifest.answers.max_question} tokens of a question are read"
        )
    if manifest.task.per_word:
        return f"any; more than {manifest.max_tokens} tokens are read in windows, each word in the middle of one"
    return f"{manifest.max_tokens} tokens, cut on the {manifest.truncation_side}"


def _after(manifest: Manifest) -> str:
    return "which are the scores" if manifest.activation == "none" else f"before {manifest.activation}"


def _precision(manifest: Manifest) -> str:
    """Return the precision in words: scheme, bits, calibration, and the matmuls that stay in float."""
    form = manifest.form
    words = [_PRECISIONS[form.precision] if form.scheme is None else SCHEMES[form.scheme].described, *form.details]
    if manifest.calibration:
        calibration = manifest.calibration
        words.append(f"calibrated by {form.calibration} on {calibration['texts']:,} texts of {calibration['split']}")
    if manifest.fallbacks:
        listed = (f"{name} ({fallback.replace('_', ' ')})" for name, fallback in manifest.fallbacks.items())
        words.append(f"but for {', '.join(listed)}")
    return "; ".join(words)


def _vocabulary(found: Mapping[str, Any]) -> str:
    text = f"{found['tokens']:,} of {found['of']:,} tokens, trimmed {found['trimmed']}"
    if "min_count" in found:
        text += f", those of the texts in {found['min_count']} different ones or more"
    if found["unchanged_tokens"] is not None:
        text += (
            f"; read as before: {100 * found['unchanged_tokens']:.1f}% of the tokens and "
            f"{100 * found['unchanged_texts']:.1f}% of {found['texts']:,} texts of {found['split']}"
        )
    if "whole_accuracy" in found:
        text += (
            f"; accuracy {100 * found['accuracy']:.2f}%, with the whole vocabulary "
            f"{100 * found['whole_accuracy']:.2f}% (p = {found['p_value']:.2g})"
        )
    return text


def _metrics(manifest: Manifest) -> str:
    metrics = manifest.metrics
    own = [
        (split, engine, values) for split, engines in manifest.measured.items() for engine, values in engines.items()
    ]
    described = [*((split, "the model, torch", values) for split, values in metrics.items())]
    described += [(split, f"this file, {engine}", values) for split, engine, values in own]
    described += [
        (split, f"floor: {name}", values)
        for split in metrics
        for name, values in manifest.floors.get(split, {}).items()
    ]
    if manifest.folds:
        described += _of_folds(manifest.folds)
    if not described:
        return "No metrics came with the model.\n"
    names = [name for name in _SHOWN if any(name in values for *_, values in described)]
    rows = [
        (
            split,
            of,
            f"{values.get('n', 0):,}",
            *(_share(values, name) for name in names),
            _percent(values.get("majority")),
        )
        for split, of, values in described
    ]
    header = ("Split", "Of", "Texts", *(metric_words(name) for name in names), "majority")
    if manifest.task.numeric:
        header, rows = _with_units(header, rows, [values for *_, values in described], manifest.task)
    text = _unbeaten(manifest) + _table(header, rows)
    text += "\nIn percent, with 95% intervals. " + (
        "" if own else "This file itself was not measured on labelled texts but those of its verification. "
    )
    text = text.rstrip() + "\n"
    if manifest.folds:
        text += "Folds: each text was tested once, by models that were trained without it.\n"
    if manifest.floors:
        text += "Floors are simple models that were trained on the same labels.\n"
    unknown = (
        []
        if manifest.task.extractive
        else [split for split, values in metrics.items() if values.get("n") and values.get("majority") == 0]
    )
    if unknown and not manifest.task.extractive:
        text += f"Labels of {', '.join(unknown)} are unknown to the model: their texts count as wrong.\n"
    return text + "".join(
        _by_label(split, values["by_label"])
        for split, values in metrics.items()
        if split != "train" and values.get("by_label")
    )


def _by_label(split: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of spans by type, the most frequent type first."""
    ordered = sorted(found.items(), key=lambda each: -each[1]["spans"])
    rows = [
        (name, f"{of['spans']:,}", *(_percent(of[metric]) for metric in ("f1", "precision", "recall")))
        for name, of in ordered[:_MOST_TYPES]
    ]
    left_out = len(ordered) - len(rows)
    more = f"\n{left_out:,} rarer ones are not shown.\n" if left_out else ""
    return f"\n### F1 by label: {split}\n\n" + _table(("Label", "spans", "F1", "precision", "recall"), rows) + more


def _with_units(
    header: tuple[str, ...], rows: list[tuple[str, ...]], values: list[Mapping[str, Any]], task: Task
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return a table of metrics with those in the units of the labels in place of the majority, which scores lack."""
    more = [
        tuple("-" if each.get(name) is None else f"{each[name]:.4g}" for name in task.metrics_in_units)
        for each in values
    ]
    names = tuple(f"{metric_words(name)}, not in percent" for name in task.metrics_in_units)
    return (*header[:-1], *names), [(*row[:-1], *cells) for row, cells in zip(rows, more, strict=True)]


def _of_folds(folds: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield a row for everything that was cross-validated."""
    where = f"{folds['count']} folds"
    yield where, "models made in the same way", folds["metrics"]
    for kind, values in folds.get("beside", {}).items():
        yield where, ARMS[kind].title if kind in ARMS else f"their {kind}s", values
    for name, values in folds.get("floors", {}).items():
        yield where, f"floor: {name}", values


def _unbeaten(manifest: Manifest) -> str:
    """Return a paragraph for the folds, and for each split, on which a floor is not beaten."""
    text = ""
    if folds := manifest.folds:
        said = f"In {folds['count']} folds, models made in the same way do not beat"
        text += _not_beaten(said, "", "their", folds["metrics"], folds.get("floors", {}), manifest.task)
    for split, values in manifest.metrics.items():
        floors = manifest.floors.get(split, {})
        text += _not_beaten("The model does not beat", f" on {split}", "its", values, floors, manifest.task)
    return text


def _not_beaten(
    said: str, where: str, whose: str, values: Mapping[str, Any], floors: Mapping[str, Any], task: Task
) -> str:
    """Return a paragraph on the floors that are better in the main metric or in macro F1; "" if there are none."""
    better = not_beaten(values, floors, task)
    needed = " and ".join(metric_words(name) for name in task.judged_by if name in values)
    return f"**{said} {', '.join(better)}{where}**: {whose} {needed} must be higher.\n\n" if better else ""


def _origin(manifest: Manifest) -> str:
    lines = []
    if manifest.data:
        rows = manifest.data.get("rows") or {}
        counts = ", ".join(f"{name} {count:,}" for name, count in rows.items())
        line = f"- Data: {manifest.data.get('name', 'unnamed')} ({counts or 'rows not recorded'})"
        if "labels" in manifest.data:
            line += f"; the labels of train are {manifest.data['labels']}"
        lines.append(line)
    if manifest.teacher:
        lines += _teachers(manifest.teacher)
    if manifest.training:
        lines += _training(manifest)
    if manifest.privacy:
        lines += manifest_promise(manifest)
    lines.append("- Versions: " + ", ".join(f"{name} {version}" for name, version in manifest.versions.items()))
    return "\n".join(lines) + "\n"


def _teachers(stored: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each teacher of a student, and one for its fold teachers."""
    for teacher in (stored, *stored.get("others", ())):
        base, parameters = teacher.get("base"), teacher.get("parameters")
        described = f"{base} fine-tuned" if base else str(teacher.get("name", "unnamed"))
        yield f"- Teacher: {described}" + (f", {parameters / 1e6:.1f} M parameters" if parameters else "")
    if "folds" in stored:
        count = len(stored["folds"])
        yield f"- Fold teachers: {count}, each of which answers for the training texts that it has not seen"


def _training(manifest: Manifest) -> Iterator[str]:
    """Yield what a student started from, what it was trained on, and whether its scores are probabilities."""
    if "start" in manifest.training:
        yield f"- Start: {manifest.training['start']}"
    if "texts" in manifest.training:
        texts, rows = manifest.training["texts"], (manifest.data or {}).get("rows") or {}
        more = texts - rows.get("train", texts)
        yield f"- Trained on: {texts:,} texts" + (f", of which {more:,} have no labels" if more > 0 else "")
    if manifest.training.get("transfer") == "pool":
        yield "- Learned: the unlabelled texts alone, by the teacher's answers; no labelled text"
    if "threshold" in manifest.training:
        yield (
            f"- Threshold: a label is chosen at a score above 0.5, which was the probability "
            f"{manifest.training['threshold']:.3f} before all logits were shifted; so scores are not probabilities"
        )


def _verification(manifest: Manifest) -> str:
    verification, words = manifest.verification, manifest.task.per_word
    questions = manifest.task.extractive
    if not verification:
        return "Not yet.\n"
    of = "words" if words else manifest.task.judged
    alike = manifest.task.alike
    lines = [
        f"The file was run on {verification['texts']:,} of {verification['of_texts']:,} texts of "
        f"{verification['split']} and compared with the torch model:",
        "",
        f"- largest difference of a logit {verification['logit_difference']:.2g}",
        f"- {alike} for {100 * verification['agreement']:.2f}% of the {of}",
        f"- a text alone and in a padded batch differ by at most {verification['batch_difference']:.2g}",
    ]
    if unlabeled := verification.get("unlabeled"):
        same = f"- {alike} for {100 * unlabeled['agreement']:.2f}% of {'the words of ' if words else ''}"
        lines.append(f"{same}{unlabeled['texts']:,} unlabelled texts")
    if verification.get("primary"):
        lines += [_primary_line(verification["primary"])]
    if verification["accuracy"] is not None:
        right = "every tag right in" if words else "exact match" if questions else "accuracy"
        low, high = verification["accuracy_interval"]
        lines += [
            f"- {right} {100 * verification['accuracy']:.2f}% "
            f"({100 * low:.2f} to {100 * high:.2f}){' of the texts' if words else ''}; "
            f"the torch model {100 * verification['model_accuracy']:.2f}%",
            *_later_lines(verification),
            f"- {_constant(manifest.task)} alone would be right for {100 * verification['majority']:.2f}%",
        ]
    return "\n".join(lines) + "\n"


def _constant(task: Task) -> str:
    """Return the answer that does not depend on the text, in words."""
    if task.extractive:
        return "no answer to any question"
    return f"the most frequent {'tag for every word' if task.per_word else 'label'}"


def _primary_line(primary: Mapping[str, Any]) -> str:
    """Return the line of the main metric, where it is not a share of texts."""
    line = f"- {metric_words(primary['metric'])} {100 * primary['artifact']:.2f}%; "
    line += f"the torch model {100 * primary['model']:.2f}%"
    if primary["difference_interval"] is None:
        return line
    low, high = primary["difference_interval"]
    return f"{line}; difference {100 * low:+.2f} to {100 * high:+.2f} points"


def _later_lines(verification: Mapping[str, Any]) -> list[str]:
    """Return the lines for entries that older manifests do not have."""
    if verification.get("calibration_error") is None:
        return []
    error, of_model = verification["calibration_error"], verification["model_calibration_error"]
    return [
        f"- McNemar's paired test of the two: p = {verification['accuracy_p_value']:.2g}",
        f"- expected calibration error {100 * error:.1f} points; the torch model {100 * of_model:.1f}",
    ]


def _use(manifest: Manifest, trust: bool, pairs: PairLayout | None) -> str:
    example = '("a text", "another")' if manifest.paired else '"a text"'
    if manifest.task.extractive:
        example = '"a question", "the context that answers it"'
    if manifest.marked:
        example = '("Peter", "paid", "the", "bill"), predicate=1'
    lines = [
        "```python",
        "import liteft",
        "",
        f'with liteft.load("FOLDER"{", trust=True" * trust}) as classifier:',
        f"    classifier.predict({example})",
        "```",
    ]
    dtype = _DTYPES.get(manifest.graph_file)
    if dtype is not None and not manifest.marked:  # transformers.js cannot mark a word
        lines += [
            "",
            "In a browser or under node, with transformers.js:",
            "",
            "```js",
            *_javascript(manifest, pairs).replace("DTYPE", dtype).splitlines(),
            "```",
            "",
            _cut_in_javascript(manifest),
        ]
    if manifest.form.target == "triton":
        lines += [
            "",
            "In Triton Inference Server, with `--model-repository=FOLDER/triton`; its README.md says what was checked, "
            "and that no Triton server has run it yet.",
        ]
    return "\n".join(lines) + "\n"


def _javascript(manifest: Manifest, pairs: PairLayout | None) -> str:
    parts = () if pairs is None else pairs.parts
    typed = "token_type_ids" in manifest.inputs and any(any(types) for *_, types in parts)
    if manifest.task.extractive:
        # without them the pipeline reads all tokens as those of the question, and finds answers in the question
        separator = next((ids[0] for text, ids, _ in parts[1:] if text is None), None)
        settings = ["return_token_type_ids: true"] * typed + [f"sep_token_id: {separator}"]
        return _JAVASCRIPT_ANSWERS.replace("SETTINGS", ", ".join(settings))
    if manifest.task.per_word:
        return _JAVASCRIPT_WORDS
    if manifest.task.numeric and not manifest.paired:
        return _JAVASCRIPT_PAIRS.replace(', { text_pair: "another", return_token_type_ids: true }', "")
    if manifest.paired:
        return _JAVASCRIPT_PAIRS if typed else _JAVASCRIPT_PAIRS.replace(", return_token_type_ids: true", "")
    return _JAVASCRIPT


def _cut_in_javascript(manifest: Manifest) -> str:
    """Return what transformers.js does otherwise than LiteFT."""
    if manifest.task.extractive:
        return (
            f"It leaves out all but the first {manifest.max_tokens} tokens of a question with its context, gives "
            "tokens and no place in the context, and does not know by how much an answer must exceed no answer."
        )
    if manifest.task.per_word:
        return (
            f"It leaves out all but the first {manifest.max_tokens} tokens of a text, gives each token a tag and no "
            "place in the text, and does not rule out tags that cannot follow each other."
        )
    return (
        f"It cuts texts of more than {manifest.max_tokens} tokens differently: on the right, and without "
        "the token that ends a text."
    )


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    escaped = [tuple(cell.replace("|", "\\|") for cell in line) for line in rows]
    lines = [header, tuple("---" for _ in header), *escaped]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _share(values: Mapping[str, Any], name: str) -> str:
    interval = values.get(f"{name}_interval")
    shown = _percent(values.get(name))
    return f"{shown} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else shown


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
