"""Writes the card of a measured model, and the table of all models, from results.json alone.

A card written by hand would drift from its numbers. Here every sentence with a number is computed from the stored
results, and tests/test_models.py checks that each card in the repository is what this module makes of its results.json.

Judgements follow a rule too: a difference counts if its interval excludes zero. If it does not, the card says that no
difference was shown; it never says that there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tomli_w
from stored import stored_comparison, stored_seeds

from liteft.arms import ARMS
from liteft.floors import not_beaten
from liteft.tasks import Task, task_named
from liteft.text_tables import markdown, metric_words, share

__all__ = ["card_text", "table_text", "with_table"]

Results = Mapping[str, Any]

_BEGIN, _END = "<!-- results -->", "<!-- end of results -->"


def card_text(results: Results) -> str:
    """Return a model's card as Markdown.

    Args:
        results: the content of results.json, as bench/model_results.py collects it.
    """
    sections = {
        "": [_unbeaten(results), results["about"]["what"], _facts(results)],
        "Data, and their traps": [_data(results["data"], results["about"])],
        "Reproduce": [_reproduce(results)],
        "Quality": [_quality(results), _floors(results)],
        "What the teacher brings": [stored_seeds(results["seeds"]).to_markdown().strip(), _verdicts(results)],
        "Side by side: quality, size, speed": [_side_by_side(results["comparison"])],
        "How the artifact was verified": [_verification(results["artifact"], task_named(results["data"]["task"]))],
        "Recipe and training": [_training(results), f"```toml\n{tomli_w.dumps(results['recipe']).strip()}\n```"],
        "Use": [_use(results)],
        "Limits": [_limits(results)],
    }
    parts = [f"# {results['about']['title']}"]
    for heading, texts in sections.items():
        parts += [f"## {heading}"] if heading else []
        parts += [text for text in texts if text]
    return "\n\n".join(parts) + "\n"


def table_text(results: Sequence[Results]) -> str:
    """Return the table of models/README.md, with a line for each model, on its test split."""
    if not results:
        return "Nothing has been measured yet."
    header = ("model", "measure", "best floor %", "teacher %", "student %", "C1 %", "C0 %", "artifact %")
    rows = [(*header, "student - C1", "student - C0", "teacher MB", "artifact MB", "latency")]
    for one in results:
        metric = task_named(one["data"]["task"]).primary_metric
        means = {row["kind"]: 100 * row["metrics"][metric]["mean"] for row in one["seeds"]["rows"]}
        artifact = one["artifact"]["against_model"]["artifact"]
        found = [each for each in one["seeds"]["differences"] if each["metric"] == metric]
        gains = {each["against"]: _difference(each) for each in found}
        rows.append(
            (
                f"[{one['name']}]({one['name']}/card.md)",
                metric_words(metric),
                _best_floor(one),
                *(f"{means[kind]:.1f}" if kind in means else "-" for kind in ("teacher", "student", "control", "c0")),
                share(artifact["metrics"][metric], artifact["intervals"].get(metric)),
                *(gains.get(kind, "-") for kind in ("control", "c0")),
                f"{one['runs']['teacher']['file_mb']:.1f}",
                f"{one['artifact']['model_mb']:.1f}",
                _faster(one["comparison"]),
            )
        )
    explained = (
        "On the test split. Best floor: the highest of simple models that are trained on the same labels (naive Bayes, "
        "TF-IDF with a linear SVM, means of the base's word vectors with logistic regression); 'not beaten' if the "
        "artifact is not better in both this measure and the other one that its card judges by, such as macro F1. "
        "C1, the control: starts where the student does and sees labels alone. C0: starts from the base, without a "
        "teacher. Student, C1 and C0: means over seeds. Artifact: of the first student, [95% interval]. Student - C1 "
        "and - C0: points of the measure, [95% interval over texts, and over seeds if there are several]. Latency: of "
        "one text, the teacher's in torch over the artifact's."
    )
    return f"{markdown(rows, texts=2)}\n\n{explained}"


def _best_floor(results: Results) -> str:
    metric = task_named(results["data"]["task"]).primary_metric
    found = [row["metrics"][metric] for row in results.get("floors", ())]
    if not found:
        return "-"
    return f"{100 * max(found):.1f}{', not beaten' if _unbeaten(results) else ''}"


def _unbeaten(results: Results) -> str:
    """Return a sentence that says which floor the artifact does not beat; "" if it beats all, or none was measured."""
    task = task_named(results["data"]["task"])
    own = results["artifact"]["against_model"]["artifact"]
    floors = {row["name"]: row for row in results.get("floors", ())}
    scores = {name: row["metrics"] for name, row in floors.items()}
    unbeaten = [floors[name] for name in not_beaten(own["metrics"], scores, task)]
    if not unbeaten:
        return ""
    floor = max(unbeaten, key=lambda row: row["metrics"][task.primary_metric])
    parts = [
        f"{metric_words(name)} {share(own['metrics'][name], own['intervals'].get(name))} and "
        f"{share(floor['metrics'][name], floor['intervals'].get(name))}"
        for name in task.judged_by
    ]
    tuned = results["artifact"].get("threshold") is not None
    fixed = ". The floor's threshold was chosen on validation, the artifact's is 0.5"
    both = ". Both thresholds were chosen on validation, for micro F1"
    how = (both if tuned else fixed) if task.several else ""
    said = f"**The artifact is not better than {floor['name']}**, a simple model trained on the same labels"
    return f"{said}: {', '.join(parts)}{how}."


def _floors(results: Results) -> str:
    """Return the table of floors with their headline metrics; "" if none were measured."""
    rows = results.get("floors", ())
    if not rows:
        return ""
    names = task_named(results["data"]["task"]).headline_metrics
    table = [("floor", *(f"{metric_words(name)} %" for name in names))]
    table += [
        (row["name"], *(share(row["metrics"][name], row["intervals"].get(name)) for name in names)) for row in rows
    ]
    return f"Simple models that are trained on the labels alone, on the same split:\n\n{markdown(table, texts=1)}"


def with_table(readme: str, results: Sequence[Results]) -> str:
    """Return models/README.md with the table between its two marks replaced."""
    before, _, rest = readme.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n\n{table_text(results)}\n\n{_END}{after}"


def _facts(results: Results) -> str:
    data, runs, artifact = results["data"], results["runs"], results["artifact"]
    teacher, student = runs["teacher"], runs["student"]
    task = task_named(data["task"])
    labels = f"{len(data['labels'])}: {', '.join(data['labels'][:12])}{', ...' if len(data['labels']) > 12 else ''}"
    labels = "none: begin and end of each answer" if task.extractive else "none: a number" if task.numeric else labels
    scheme = f" ({artifact['int8_scheme']})" if artifact["int8_scheme"] else ""
    rows = [
        ("", ""),
        ("Task", task.description + (", pairs of texts" if data["paired"] else "")),
        ("Labels", labels),
        ("Teacher", f"{teacher['base']}, {teacher['pooling']} pooling, {_millions(teacher)}"),
        ("Student", f"{student['size']}, {_millions(student)}"),
        ("Artifact", f"{artifact['precision']}{scheme}, model.onnx {artifact['model_mb']:.1f} MB"),
    ]
    return markdown(rows, texts=2)


def _data(data: Results, about: Results) -> str:
    rows = [("split", "texts", "median", "95%", "longest", "cut %")]
    for name, count in data["rows"].items():
        length = data["lengths"][name]
        cut = "-" if length["truncated"] is None else f"{100 * length['truncated']:.1f}"
        rows.append((name, f"{count:,}", f"{length['median']:.0f}", f"{length['p95']:.0f}", f"{length['max']:,}", cut))
    unit = next(iter(data["lengths"].values()))["unit"]
    lines = [f"- {trap}" for trap in about.get("traps", ())]
    lines += [f"- The data check: {warning}." for warning in data["warnings"]]
    lines += [f"- The loader: {note}." for note in data["notes"]]
    if data["unknown_labels_only"]:
        names = ", ".join(data["unknown_labels_only"])
        lines.append(f"- {names}: only labels that training lacks. Every answer is wrong there, so no score is shown.")
    described = f"{about['data']} Lengths in {unit}. Fingerprint `{data['fingerprint'][:12]}`."
    return "\n\n".join([described, markdown(rows, texts=1), *(["\n".join(lines)] if lines else [])])


def _reproduce(results: Results) -> str:
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (
        f"    {results['command']}\n    {results['results_command']}\n\n"
        "DATA is the folder of data sets, RUNS a folder of your choice. The first command trains, and resumes if it "
        "was stopped; the second writes results.json and this card.\n\n"
        f"Measured on {machine['processor']}, {machine['cores']} cores, {machine['system']}, Python "
        f"{machine['python']}; {versions}; commit {results['commit']}."
    )


def _quality(results: Results) -> str:
    task = task_named(results["data"]["task"])
    metric, other = task.judged_by
    skipped = {"train", *results["data"]["unknown_labels_only"]}
    splits = [name for name in results["data"]["rows"] if name not in skipped]
    shown = [name for name in splits if any(name in run["metrics"] for run in results["runs"].values())]
    tests = [run["metrics"].get("test", {}) for run in results["runs"].values()]
    others = (other, *(name for name in task.metrics_of_queries if any(name in test for test in tests)))
    header = ("run", *(f"{split} {metric_words(metric)} %" for split in shown))
    rows = [(*header, *(f"test {metric_words(name)} %" for name in others), "test calibration error %")]
    for (name, run), test in zip(results["runs"].items(), tests, strict=True):
        cells = [_share(run["metrics"].get(split, {}), metric) for split in shown]
        cells += [_share(test, each) for each in others]
        rows.append((name, *cells, _percent(test.get("calibration_error"))))
    majority = results["runs"]["teacher"]["metrics"].get("test", {}).get("majority")
    alone = f" The most frequent answer alone is right for {_percent(majority)}% of test."
    return (
        f"{markdown(rows, texts=1)}\n\n[ ]: 95% intervals over texts. Each run's checkpoint was chosen on "
        "validation, so those numbers are optimistic; nothing was chosen on the test split."
        f"{'' if majority is None else alone}"
    )


def _verdicts(results: Results) -> str:
    """Return in words what the intervals show and what they do not."""
    lines = [_verdict(found) for found in results["seeds"]["differences"]]
    if all(found["against"] != "control" for found in results["seeds"]["differences"]):
        lines.append("There was no control, so it is not known what the teacher contributes.")
    return "\n".join(f"- {line}" for line in lines)


def _verdict(found: Results) -> str:
    difference = f"Student minus {found['against']}: {_difference(found)} points of {metric_words(found['metric'])}."
    better = found["difference"] > 0
    if found["against"] == "control":
        shown = "learning from the teacher helped" if better else "learning from the teacher was worse than from labels"
        open_ = "these runs show neither that the teacher helps nor that it does not"
    elif found["against"] in ARMS:
        arm = ARMS[found["against"]]
        shown = f"{arm.question} Yes" if better else f"{arm.question} No, {arm.title} is better"
        open_ = f"{arm.question} These runs do not say"
    else:
        shown = f"the student is {'better' if better else 'worse'} than its teacher"
        open_ = "these runs show neither a difference from the teacher nor that there is none"
    if found["excludes_zero"]:
        return f"{difference} The interval excludes zero: {shown}."
    return f"{difference} The interval does not exclude zero: {open_}."


def _side_by_side(comparison: Results) -> str:
    text = stored_comparison(comparison).to_markdown().strip()
    return text if comparison["models"][0]["timing"] else f"{text}\n- Speed and memory were not measured."


def _verification(artifact: Results, task: Task) -> str:
    gate, test = artifact["verification"], artifact["against_model"]
    paired, f1 = test["paired"], test["micro_f1_difference"]
    by_labels = f1 is None and not task.numeric
    metric, right = ("accuracy", "Right") if by_labels else (task.primary_metric, "All right")
    if f1 is not None and not task.extractive:
        right = f"All {'tags' if task.per_word else 'labels'} right"
    each = " of the words" if task.per_word else ""
    fp32, written = (
        share(test[side]["metrics"][metric], test[side]["intervals"].get(metric)) for side in ("model", "artifact")
    )
    lines = [
        f"- Gate of the export, on {gate['texts']:,} texts of {gate['split']}: {task.alike} for "
        f"{100 * gate['agreement']:.2f}%{each}; logits differ by at most {gate['logit_difference']:.2g}, and those of "
        f"a text alone and in a padded batch by {gate['batch_difference']:.2g}.",
        f"- Beside the fp32 model on {test['texts']:,} texts of {test['split']}, which the gate never saw: "
        f"{task.alike} for {100 * test['agreement']:.2f}%{each}; {metric_words(metric)} {written}% "
        f"({artifact['precision']}) and {fp32}% (fp32).",
    ]
    if paired is not None:
        p_value = "<0.001" if paired["p_value"] < 0.001 else format(paired["p_value"], ".3f")
        lines.append(
            f"- {right} there and not in fp32: {paired['c']:,} texts; the other way round: {paired['b']:,}. That is "
            f"{100 * paired['difference']:+.2f} points, 95% interval {_interval(paired['low'], paired['high'])}, "
            f"McNemar's p {p_value}."
        )
    if f1 is not None:
        lines.append(f"- Points of {metric_words(metric)} gained over fp32: 95% interval {_interval(*f1)}.")
    return "\n".join(lines)


def _training(results: Results) -> str:
    rows = [("run", "seed", "learning rate", "steps", "best step", "minutes")]
    searches = []
    for name, run in results["runs"].items():
        best = "-" if run["best_step"] is None else f"{run['best_step']:,}"
        cells = (str(run["seed"]), f"{run['learning_rate']:g}", f"{run['steps']:,}", best, f"{run['seconds'] / 60:.1f}")
        rows.append((name, *cells))
        search = run.get("search") or {}
        if len(search) > 1:
            names = [metric_words(each) for each in run["best_metric"] if each != "balanced"]
            chosen_by = f"mean of {' and '.join(names)}" if len(names) > 1 else names[0]
            tried = ", ".join(f"{float(rate):g}: {value:.4f}" for rate, value in search.items())
            searches.append(f"- {name}, {chosen_by}: {tried}")
    text = (
        f"{markdown(rows, texts=1)}\n\nMinutes: of the process that finished the run; the machine may have been busy."
    )
    if searches:
        text += "\n\nLearning rates that were tried; the best on validation was kept:\n\n" + "\n".join(searches)
    return text


def _use(results: Results) -> str:
    example = results["about"]["example"]
    text = repr(example[0]) if len(example) == 1 else f"({', '.join(map(repr, example))})"
    lines = ["import liteft", "", f'with liteft.load("RUNS/{results["name"]}/artifact") as classifier:']
    return "\n".join(["```python", *lines, f"    print(classifier.predict({text}))", "```"])


def _limits(results: Results) -> str:
    teacher = results["settings"]["teacher"]
    tokens, task = results["runs"]["teacher"]["max_tokens"], task_named(results["data"]["task"])
    if not task.of_whole_texts:
        read = f"Longer texts are read in windows of {tokens} tokens: none is cut."
    else:
        kept = "the beginning is kept" if teacher["truncation_side"] == "right" else "the end is kept"
        read = f"Longer texts are truncated to {tokens} tokens: {kept}."
    lines = [*results["about"].get("limits", ()), read]
    count = results["seeds"]["texts"]
    lines.append(f"Every test number here is from {count:,} texts of the same source as the training texts.")
    return "\n".join(f"- {line}" for line in lines)


def _difference(found: Results) -> str:
    return f"{100 * found['difference']:+.2f} {_interval(*found['interval'])}"


def _interval(low: float, high: float) -> str:
    return f"[{100 * low:+.2f}, {100 * high:+.2f}]"


def _faster(comparison: Results) -> str:
    """Return how many times faster the artifact answers a single text than the teacher does in torch."""
    first, last = comparison["models"][0]["latency_p50_ms"], comparison["models"][-1]["latency_p50_ms"]
    return "-" if first is None or last is None else f"{first / last:.1f} times"


def _millions(run: Results) -> str:
    return f"{run['parameters'] / 1e6:.1f} M parameters, {run['file_mb']:.1f} MB"


def _share(values: Results, metric: str) -> str:
    if values.get(metric) is None:
        return "-"
    return share(values[metric], values.get(f"{metric}_interval"))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
