"""``liteft predict``: classify texts, lines of stdin, or a file of any size, without torch."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liteft.cli import groups
from liteft.cli.console import Console
from liteft.cli.flags.answers import (
    ArtifactFolder,
    InputFile,
    OnError,
    OutputFile,
    PairText,
    Predicates,
    Prefix,
    Restart,
    Threshold,
    TopK,
)
from liteft.cli.flags.data import Delimiter, Encoding, Pair, Text
from liteft.cli.flags.machine import Backend, Device, EnginePrecision, Overwrite, Threads, Trust
from liteft.errors import ConfigError
from liteft.privacy import Shown, policy, shown
from liteft.text_tables import one_line, shortened

if TYPE_CHECKING:
    from liteft.runtime import Answer, AnswerClassifier, Classifier, Prediction, Score, TaggedText, TokenClassifier

Texts = Annotated[
    list[str] | None,
    typer.Argument(metavar="TEXT", help="Texts to classify; - or none for the lines of stdin."),
]

EXAMPLES = (
    "liteft predict runs/reviews 'a great film'",
    "liteft predict runs/reviews --input new.parquet --output scored.parquet --text body",
)

_SHOWN = 100


@groups.flat
def predict(
    *,
    artifact: ArtifactFolder,
    texts: Texts = None,
    input_file: InputFile = None,
    output_file: OutputFile = None,
    text: Text = None,
    pair: Pair = None,
    pair_text: PairText = None,
    predicates: Predicates = None,
    top_k: TopK = None,
    threshold: Threshold = None,
    on_error: OnError = "raise",
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    device: Device = "auto",
    backend: Backend = "auto",
    threads: Threads = None,
    engine_precision: EnginePrecision = None,
    trust: Trust = False,
    prefix: Prefix = "",
    overwrite: Overwrite = False,
    restart: Restart = False,
    output: groups.Output,
) -> None:
    """Classify texts, the lines of stdin, or a file.

    Prints one line per text: label, score and text, separated by tabs; models of scores have no label, and models of
    questions have the answer. A model of words prints the text, and below it each span with its label, score and place
    in code points, the end exclusive. On stdin, a tab separates the two texts of a pair, or a question and its context.
    """
    of_texts = {"--pair-text": pair_text, "--predicate": predicates}
    _check_use(texts, input_file=input_file, output_file=output_file, text=text, pair=pair, of_texts=of_texts)
    import liteft

    console = output.console()
    artifact = console.artifact_of(artifact)
    loading: dict[str, Any] = {"device": device, "backend": backend, "threads": threads}
    loading |= {"engine_precision": engine_precision, "trust": trust}
    answering: dict[str, Any] = {"top_k": top_k, "threshold": threshold, "on_error": groups.error_kind(on_error)}
    if input_file is not None and output_file is not None:
        reading = {"text": text, "pair": pair, "encoding": encoding, "delimiter": delimiter}
        writing = {"prefix": prefix, "overwrite": overwrite, "restart": restart}
        _classify_file(artifact, input_file, output_file, console, {**loading, **answering, **reading, **writing})
        return
    with liteft.load(artifact, **loading) as classifier:
        inputs = _inputs(texts or ["-"], pair_text, paired=classifier.manifest.paired)
        if predicates:
            inputs = _with_predicates(texts or ["-"], predicates, marked=classifier.manifest.marked)
        if classifier.manifest.task.per_word:
            answering = _of_words(answering)
        _classify_texts(classifier, inputs, console, answering)


def _of_words(answering: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that models of words have. Raises ConfigError if another one was given."""
    from liteft.runtime.scored_words import refuse_text_settings

    refuse_text_settings(top_k=answering["top_k"], threshold=answering["threshold"])
    return {"on_error": answering["on_error"]}


def _classify_texts(
    classifier: Classifier | TokenClassifier | AnswerClassifier,
    inputs: Iterable[Any],
    console: Console,
    answering: dict[str, Any],
) -> None:
    from liteft.runtime.shown_answers import shown_answer

    names: list[str] = []
    how = policy()
    predictions: list[dict[str, Any] | None] = []
    cut = 0

    def kept() -> Iterator[Any]:
        for value in inputs:
            text = " / ".join(map(str, value)) if isinstance(value, tuple) else value
            names.append(f"text {len(names) + 1}" if how == "hidden" else shown(text))
            yield value

    for number, answer in enumerate(classifier.stream(kept(), **answering)):
        prediction = shown_answer(answer, how)
        console.line(_line(prediction, names[number], how))
        names[number] = ""
        cut += prediction is not None and prediction.truncated
        if console.as_json:
            predictions.append(None if prediction is None else prediction.to_dict())
    if cut:
        what = f"texts were cut at {classifier.manifest.max_tokens} tokens"
        if classifier.manifest.task.per_word:
            what = "texts have a word of so many tokens that only its first were read"
            what += ", or a window without the predicate" if getattr(classifier, "marked", False) else ""
        if classifier.manifest.task.extractive:
            what = "questions, or words of their contexts, were cut"
        console.progress(f"{cut:,} {what}")
    document = {
        "artifact": str(classifier.path),
        "backend": classifier.backend,
        "device": classifier.device,
        "precision": classifier.precision,
        "predictions": predictions,
    }
    following = ["liteft", "predict", str(classifier.path), "--input", "FILE", "--output", "FILE"]
    console.result("", document, following=following)


def _classify_file(artifact: str, source: str, target: str, console: Console, settings: dict[str, Any]) -> None:
    from liteft.runtime.bulk import predict_file

    done = predict_file(artifact, source, target, progress=console.progress, tell=console.progress, **settings)
    console.result(done.render(), done.to_dict())


def _line(prediction: Prediction | Score | TaggedText | Answer | None, text: str, how: Shown) -> str:
    from liteft.runtime import Answer, Score, TaggedText

    name = shortened(one_line(text), _SHOWN)
    if prediction is None:
        return f"-\t-\t{name}"
    if isinstance(prediction, TaggedText):
        lines = prediction.render().split("\n")
        return "\n".join(lines if how == "shown" else [name, *lines[1:]])
    if isinstance(prediction, Answer):
        return f"{prediction.render()}\t{name}"
    if isinstance(prediction, Score):
        return f"{prediction.score:.4f}\t{name}"
    columns = [", ".join(prediction.labels) or "(none)", f"{prediction.score:.4f}"]
    if prediction.top:
        columns.append(", ".join(f"{name} {score:.4f}" for name, score in prediction.top))
    return "\t".join([*columns, name])


def _inputs(texts: Sequence[str], seconds: Sequence[str] | None, *, paired: bool) -> Iterator[Any]:
    if list(texts) == ["-"]:
        if seconds:
            raise ConfigError(
                "--pair-text cannot be used with stdin.",
                fix="separate the two texts of a line by a tab, and leave out --pair-text",
            )
        return _stdin_lines(paired=paired)
    if not paired:
        if seconds:
            raise ConfigError("this model reads single texts, but --pair-text was given.", fix="leave out --pair-text")
        return iter(texts)
    if len(seconds or ()) != len(texts):
        raise ConfigError(
            f"this model reads pairs: {len(texts)} texts came with {len(seconds or ())} second texts.",
            fix="liteft predict ARTIFACT 'a text' --pair-text 'the other text'",
        )
    return zip(texts, seconds or (), strict=True)


def _with_predicates(texts: Sequence[str], predicates: Sequence[int], *, marked: bool) -> Iterator[Any]:
    """Return the only text with each of the predicates."""
    if not marked:
        raise ConfigError(
            "this model has no predicates, but --predicate was given.",
            accepted={"--predicate": "of models that find the roles of one word of a text"},
            fix="leave out --predicate",
        )
    if len(texts) > 1 or texts[0] == "-":
        raise ConfigError(
            f"--predicate is a word of one text, and there are {'lines of stdin' if texts[0] == '-' else len(texts)}.",
            accepted={"several texts": "rows of --input, with a column predicate"},
            fix="liteft predict ARTIFACT 'a text' --predicate 1",
        )
    return ((texts[0], predicate) for predicate in predicates)


def _stdin_lines(*, paired: bool) -> Iterator[Any]:
    # Bytes that are not UTF-8 become lone surrogates; the classifier treats such a line as --on-error says.
    for line in sys.stdin.buffer:
        text = line.decode("utf-8", errors="surrogateescape").rstrip("\r\n")
        yield tuple(text.split("\t")) if paired and "\t" in text else text


def _check_use(
    texts: Sequence[str] | None,
    *,
    input_file: str | None,
    output_file: str | None,
    text: str | None,
    pair: str | None,
    of_texts: Mapping[str, Sequence[object] | None],
) -> None:
    """Refuse what does not go together; ``of_texts`` are flags that belong to texts, not to files."""
    if input_file is not None and texts:
        raise ConfigError("texts and --input were both given.", fix="leave out one of them")
    if (input_file is None) != (output_file is None):
        raise ConfigError("--input and --output go together.", fix="liteft predict ARTIFACT --input FILE --output FILE")
    if input_file is not None:
        for named in (name for name, given in of_texts.items() if given):
            instead = "--pair COLUMN, for the column of --input"
            if named == "--predicate":
                instead = "leave out --predicate; the column predicate of --input is read"
            raise ConfigError(f"{named} and --input were both given.", fix=instead)
        return
    for flag, column, words in (("--text", text, "'a text'"), ("--pair", pair, "'a text' --pair-text 'the other'")):
        if column is not None:
            raise ConfigError(
                f"{flag} {column} names a column, but there is no --input.", fix=f"liteft predict ARTIFACT {words}"
            )
    if not texts and sys.stdin.isatty():
        raise ConfigError(
            "there is nothing to classify.",
            fix=[
                "liteft predict ARTIFACT 'a text'",
                "liteft predict ARTIFACT --input FILE --output FILE",
                "cat texts.txt | liteft predict ARTIFACT",
            ],
        )
