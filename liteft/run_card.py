"""What a run consists of on the hub: its model, as transformers reads it, a list of files with hashes, and a card.

Nothing else of a run is pushed: no checkpoint, log, prediction, recipe or data check. `liteft.json` takes the place of
run.json, without what means nothing elsewhere, such as paths.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from liteft import files
from liteft.errors import ModelError, RunError
from liteft.hub import Described, Measured, Upload, UploadFile
from liteft.run_info import RunInfo
from liteft.tasks import Task
from liteft.text_tables import markdown, metric_words
from liteft.untrusted import parse_json, read_bytes, regular_size, sha256_of

__all__ = ["MODEL_LIST", "check_listed", "listed_files", "pipeline_tag", "promise_lines", "run_upload"]

MODEL_LIST = "liteft.json"
"""In a repository on the hub that has the model of a run: its files with their hashes, and what is known of the run."""
_FORMAT = 1
_MOST_LIST = 8 << 20  # bytes
_MOST_FILES = 1000
_WEIGHTS = re.compile(
    r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json|adapter_model\.safetensors"
)
_FILES = {
    *("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "adapter_config.json"),
    *("base.json", "vocab.txt", "vocab.json", "merges.txt", "tokenizer.model", "spiece.model"),
    "modeling_mean_pooled.py",
    *("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json"),
}
_KEPT = (
    *("kind", "task", "labels", "pooling", "paired", "marked", "max_tokens", "activation", "family", "parameters"),
    *("weights_sha256", "metrics", "base", "size", "start", "training_texts", "temperature", "threshold", "seed"),
    *("no_answer", "versions", "privacy", "transfer"),
)
"""Keys of run.json that mean something elsewhere."""
_OF_TEACHER = ("name", "base", "parameters", "weights_sha256")
_SHOWN = (
    *("f1", "precision", "recall", "accuracy", "exact_match", "micro_f1", "macro_f1", "spearman", "pearson"),
    *("ndcg_10", "mrr"),
)
_BEYOND = (
    "whoever wrote several rows",
    "the names of the labels",
    "texts that the base had learned before",
    "settings that were chosen after looking at results on these texts",
    "the metrics in this card",
    "files that lie beside the model in the run's folder",
)
_TITLES = {"teacher": "Teacher", "student": "Student"}


def pipeline_tag(task: Task) -> str:
    """Return the hub's word for a task; rerankers and regressions are classifiers with one logit."""
    if task.extractive:
        return "question-answering"
    return "token-classification" if task.per_word else "text-classification"


def _is_pushed(model: Path, name: str) -> bool:
    """Return whether a file of a model is pushed. Code is pushed only as this version of LiteFT wrote it."""
    if name.endswith(".py") and name in _FILES:
        return (model / name).read_bytes() == (Path(__file__).parent / "finetuning" / name).read_bytes()
    return name in _FILES or _WEIGHTS.fullmatch(name) is not None


def run_upload(model: Path, info: RunInfo, task: Task, *, manifest: str) -> Upload:
    """Return what is pushed of a run, whose weights have been checked.

    Args:
        model: folder of its model.
        info: what run.json says.
        task: its task.
        manifest: name of the list of files that artifacts have.

    Raises:
        ModelError: it is an adapter on a base that is only on this machine.
        RunError: a file cannot be read.
    """
    _refuse_local_base(model)
    found = sorted(file.relative_to(model).as_posix() for file in model.rglob("*") if file.is_file())
    names = [name for name in found if _is_pushed(model, name)]
    try:
        sizes = {name: regular_size(model / name) for name in names}
        hashes = {name: sha256_of(model / name, size) for name, size in sizes.items()}
    except (OSError, ValueError) as error:
        raise RunError(f"{model} cannot be read: {error}.", fix="copy the whole run folder again") from error
    listed = {name: {"bytes": sizes[name], "sha256": hashes[name]} for name in names}
    content = json.dumps({"format": _FORMAT, "files": listed, "run": _told(info)}, indent=2, ensure_ascii=False)
    body = content.encode() + b"\n"
    return Upload(
        files=(
            *(UploadFile(name, model / name, size) for name, size in sizes.items()),
            UploadFile(MODEL_LIST, body, len(body)),
        ),
        lists=(MODEL_LIST, manifest),
        card=_card(info, task),
        described=_described(info, task),
        left_out=tuple(name for name in found if name not in names),
    )


def _refuse_local_base(model: Path) -> None:
    """Refuse an adapter whose base nobody else has."""
    if not (model / "base.json").is_file():
        return
    base = str(files.read_json(model / "base.json").get("base", ""))
    if base.count("/") != 1 or base.startswith(("/", ".", "~")) or Path(base).exists():
        raise ModelError(
            f"{model} is an adapter on the base {Path(base).name}, which is not on the hub.",
            accepted={"an adapter": "on a base by its name on the hub"},
            fix=["push the artifact, which has the base's weights, too", "push the student that it taught"],
        )


def _told(info: RunInfo) -> dict[str, Any]:
    """Return what is told of a run elsewhere."""
    whole: Mapping[str, Any] = info
    told = {key: whole[key] for key in _KEPT if key in whole}
    size = told.get("size")
    if isinstance(size, str) and size.startswith(("/", ".", "~")):  # the folder of an encoder
        told["size"] = Path(size).name
    told["data"] = {key: value for key, value in whole["data"].items() if key in ("name", "rows", "labels")}
    if teacher := whole.get("teacher"):
        told["teacher"] = {key: teacher[key] for key in _OF_TEACHER if key in teacher}
    return told


def _described(info: RunInfo, task: Task) -> Described:
    measured = (Measured(split, values) for split, values in info["metrics"].items() if split != "train")
    return Described(
        pipeline_tag=pipeline_tag(task),
        library="transformers",
        tags=("liteft", info["kind"]),
        data=info["data"].get("name"),
        measured=tuple(measured),
    )


def _card(info: RunInfo, task: Task) -> str:
    """Return the model card: what the model is, how good it is, how it was made, and how to use it."""
    kind = info["kind"]
    rows = info["data"].get("rows") or {}
    shown = ", ".join(info["labels"][:20]) + (", …" if len(info["labels"]) > 20 else "")
    lines = [
        f"# {_TITLES.get(kind, kind)}: {info['data'].get('name') or 'a classifier'}\n",
        markdown([("", ""), ("Task", task.description), ("Labels", shown), *_size_rows(info, task)], texts=2),
        "\n## How good it is\n",
        _metrics_table(info),
        "\nIn percent, with 95% intervals.\n",
        "## How it was made\n",
        f"- Data: {info['data'].get('name')} ({', '.join(f'{name} {count:,}' for name, count in rows.items())})",
        *_origin(info),
        "- Versions: " + ", ".join(f"{name} {version}" for name, version in info["versions"].items()),
        "\n## Use\n",
        f"`{MODEL_LIST}` lists the files with their hashes. With LiteFT, it is a teacher, a base, or the source of an",
        "export to ONNX, which is verified on your texts:\n",
        '```python\nimport liteft\n\nliteft.export("FOLDER", "artifact", verify=data.validation)\n```',
    ]
    return "\n".join(lines) + "\n"


def _size_rows(info: RunInfo, task: Task) -> list[tuple[str, str]]:
    longest = f"{info['max_tokens']} tokens"
    return [
        ("Architecture", f"{info['family']}, pooling {info['pooling']}, {info['parameters'] / 1e6:.1f} M parameters"),
        ("Longest text", longest if task.of_whole_texts else f"any; more than {longest} are read in windows"),
    ]


def _metrics_table(info: RunInfo) -> str:
    splits = {split: values for split, values in info["metrics"].items() if split != "train"}
    names = [name for name in _SHOWN if any(values.get(name) is not None for values in splits.values())]
    header = ("Split", "Texts", *map(metric_words, names))
    rows = [(split, f"{of.get('n', 0):,}", *(_cell(of, name) for name in names)) for split, of in splits.items()]
    return markdown([header, *rows], texts=1)


def _cell(values: Mapping[str, Any], name: str) -> str:
    value, interval = values.get(name), values.get(f"{name}_interval")
    if value is None:
        return "-"
    return f"{100 * value:.1f}" + (f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else "")


def _origin(info: RunInfo) -> Iterator[str]:
    teacher = info.get("teacher")
    if teacher:
        base = teacher.get("base")
        yield f"- Teacher: {f'{base} fine-tuned' if base else teacher.get('name', 'unnamed')}"
    elif info.get("base"):
        yield f"- Base: {info['base']}"
    if info.get("start"):
        yield f"- Start: {info['start']}"
    if info.get("training_texts"):
        yield f"- Trained on: {info['training_texts']:,} texts"
    if info.get("transfer") == "pool":
        yield "- Learned: the unlabelled texts alone, by the teacher's answers; no labelled text"
    if promised := info.get("privacy"):
        yield from promise_lines(promised)


def promise_lines(found: Mapping[str, Any], beyond: Sequence[str] = ()) -> Iterator[str]:
    """Yield two items of a list: what differential privacy promises, with its numbers, and what it does not cover.

    Args:
        found: what run.json or a manifest says of it: `liteft.run_info.PrivacyInfo`.
        beyond: more that it does not cover.
    """
    yield (
        f"- Differential privacy: epsilon = {found['epsilon']:.3g}, delta = {found['delta']:.2g}, of each row of the "
        f"training split; {found['steps']:,} steps that each drew a row with probability {found['sample_rate']:.3g} "
        f"({found['sampling']} sampling), gradients clipped at {found['max_grad_norm']:g}, noise of "
        f"{found['noise_multiplier']:.3g} times that, added up by {found['accountant']}; trained: {found['trains']}"
    )
    yield f"- It does not cover {'; '.join((*_BEYOND, *beyond))}"


def listed_files(folder: Path) -> dict[str, tuple[int, str]]:
    """Return the bytes and the SHA-256 of each file that a repository's list of a model's files names.

    Raises:
        ModelError: the list is not one.
    """
    path = folder / MODEL_LIST
    try:
        content = parse_json(read_bytes(path, _MOST_LIST), unique=True)
        if content["format"] != _FORMAT or not 0 < len(content["files"]) <= _MOST_FILES:
            raise ValueError(f"its format is {content['format']!r:.40}, and this version reads {_FORMAT}")
        found = {name: (entry["bytes"], entry["sha256"]) for name, entry in content["files"].items()}
        for name, (size, digest) in found.items():
            whole = type(size) is int and size >= 0 and isinstance(digest, str)
            if not whole or not (name in _FILES or _WEIGHTS.fullmatch(name)):
                raise ValueError(f"it lists {name[:80]!r}, which is not a file of a model")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{error.args[0]!r:.80} is missing" if isinstance(error, KeyError) else str(error)[:200]
        raise ModelError(f"{path} cannot be used: {reason}.", fix="tell its owner to push the run again") from None
    return found


def check_listed(folder: Path) -> None:
    """Refuse a model from the hub whose files are not those that were pushed.

    Raises:
        ModelError: a file is missing, or its SHA-256 is not the one in the list.
    """
    for name, (size, digest) in listed_files(folder).items():
        try:
            same = sha256_of(folder / name, size) == digest
        except (OSError, ValueError):
            same = False
        if not same:
            raise ModelError(
                f"{folder / name} is not the file that was pushed: its SHA-256 differs from the one in {MODEL_LIST}.",
                fix=f"remove {folder.parents[1]} and load it again, which downloads it anew",
            )
