"""From what was measured to what to do: one line for each decision, with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from liteft.advising.evidence import Evidence
from liteft.advising.sizes import ShapeCost
from liteft.tasks import FEW_TO_TEST, FEWEST_TO_CALIBRATE
from liteft.text_tables import metric_words, points, share

__all__ = ["Recommendation", "at_chance", "chosen_depth", "next_command", "no_transformer_needed", "recommend"]

_CEILING = 0.97  # a floor that is as good as the probe and above this leaves a transformer at most 3 points
_CEILING_LOW = 0.95  # for the lower end of its interval
_LEAK = 0.005  # share of a split's rows whose texts are in another
_FEW, _STEEP = 50, 0.01  # labelled texts per label; gain of twice the labels
_UNEVEN, _GAP = 10.0, 0.05  # most frequent label over the rarest; primary metric over macro F1
_MORE = "label more, or add unlabelled texts of the same kind"
_OUT = "runs/advised"
_CHANCE, _ROOM = 0.02, 0.2  # above the most frequent answer; at most this share of what is above it
_FOLDS = 5
_DOUBTFUL = 0.01  # share of the sampled texts


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to do about one decision, and why.

    Attributes:
        topic: the decision.
        choice: what to do.
        reason: why, with the figures.
    """

    topic: str
    choice: str
    reason: str


def recommend(found: Evidence) -> tuple[Recommendation, ...]:
    """Return the recommendations, in the order in which to act on them."""
    lines = [*_data(found), *_transformer(found)]
    if found.bases:
        lines += [_teacher(found), *_length(found), _student(found)]
    return (*lines, *_unlabelled(found), *_weights(found), *_threshold(found), *_testing(found))


def no_transformer_needed(found: Evidence) -> bool:
    """Return whether a floor is near the ceiling, and the probe of the best base is not clearly better."""
    if not found.floors or found.advantage is None:
        return False
    best = found.floors[0].scored
    low = best.intervals[found.metric][0]
    return best.metrics[found.metric] >= _CEILING and low >= _CEILING_LOW and found.advantage[1][0] <= 0


def chosen_depth(found: Evidence) -> int:
    """Return the number of layers for the student of the best base."""
    depth, width = _wanted_depth(found), chosen_width(found)
    fitting = [each.layers for each in _costs(found) if each.within and each.width == width]
    if not fitting or max(fitting) >= depth:  # what fits with more layers fits with fewer
        return depth
    return max(fitting)


def _wanted_depth(found: Evidence) -> int:
    """Return the number of layers that the probe of the best base asks for, whatever the limits."""
    best = found.bases[0]
    return best.depth if at_chance(found) else max(1, best.first_close)


def chosen_width(found: Evidence) -> int:
    """Return the width of the student of the best base: the largest of which some size is within the limits."""
    fitting = [each.width for each in _costs(found) if each.within]
    return max(fitting, default=found.bases[0].width)


def nothing_fits(found: Evidence) -> bool:
    """Return whether no size of the best base is within the limits."""
    return bool(_costs(found)) and all(each.within is False for each in _costs(found))


def _costs(found: Evidence) -> tuple[ShapeCost, ...]:
    return found.costs.get(found.bases[0].base, ())


def next_command(found: Evidence) -> tuple[str, dict[str, object]]:
    """Return the command to run next: its verb, and its options without those of the data."""
    if not found.bases:
        return "distill", {"teacher": "BASE", "size": "3", "out": _OUT}
    best = found.bases[0]
    options: dict[str, object] = {"teacher": best.base}
    if found.lengths is not None:
        options["max_tokens"] = found.lengths.covering
    if _uneven(found):
        options |= {"teacher.class_weights": "balanced", "student.class_weights": "balanced"}
    if _tunes_threshold(found):
        options |= {"teacher.tune_threshold": True, "student.tune_threshold": True}
    limits = {"max_mb": found.max_mb, "max_ms": found.max_ms}
    budget = {name: limit for name, limit in limits.items() if limit is not None}
    if nothing_fits(found):
        budget = {}
    size: dict[str, object] = {} if budget else {"size": f"{chosen_depth(found)}x{chosen_width(found)}"}
    if not budget and _asks_for_folds(found):
        size["folds"] = _FOLDS
    return "search" if budget else "distill", {**options, **budget, **size, "out": _OUT}


def _data(found: Evidence) -> Iterator[Recommendation]:
    leaks = [each for each in found.check.overlaps if each.share >= _LEAK]
    if leaks:
        worst = leaks[0]
        reason = f"{worst.rows:,} texts of {worst.split} ({worst.share:.1%}) are also in {worst.other}"
        yield Recommendation("data", "remove the texts that are in two splits before anything else", reason)
    contradictory = sum(split.contradictions for split in found.check.splits if split.name == "train")
    if contradictory:
        reason = f"{contradictory:,} training texts also have another label"
        yield Recommendation("data", "decide between the labels of equal texts", reason)
    if found.doubtful_count >= _DOUBTFUL * len(found.sample) and not at_chance(found):
        share_of = found.doubtful_count / len(found.sample)
        reason = (
            f"the probe, fitted without them, is sure of another label for {found.doubtful_count:,} texts "
            f"({share_of:.1%}), and the best floor agrees; some of these are mistakes of theirs"
        )
        yield Recommendation("data", "read the doubtful labels", reason)


def _transformer(found: Evidence) -> Iterator[Recommendation]:
    if not found.floors or found.advantage is None:
        return
    floor = found.floors[0]
    gained, interval = found.advantage
    metric = metric_words(found.metric)
    reached = f"{floor.name} has {share(floor.scored.metrics[found.metric])}% {metric}"
    compared = f"the best probe gains {points(gained, interval)} points over it"
    chance, value = _chance(found), floor.scored.metrics[found.metric]
    unsure = floor.scored.intervals[found.metric][0] <= chance and (value <= chance or value < _CEILING)
    if at_chance(found) and unsure:
        reason = f"{reached}, the most frequent answer {share(found.majority)}%, and {compared}"
        unknown = "not known before fine-tuning: neither words nor features without training surely help"
        yield Recommendation("transformer", unknown, reason)
    elif no_transformer_needed(found):
        left = 100 * (1 - floor.scored.metrics[found.metric])
        reason = f"{reached}, and {compared}; at most {left:.1f} points are left to gain"
        yield Recommendation("transformer", f"not needed: {floor.name} is enough", reason)
    elif gained <= 0 and floor.scored.metrics[found.metric] >= _CEILING:
        reason = f"{reached}, and {compared}; {len(found.sample):,} texts are too few to be sure of that"
        yield Recommendation("transformer", f"none so far: {floor.name} may be enough", reason)
    elif gained <= 0:
        reason = f"{reached}, and {compared}: only fine-tuning can tell whether more is possible"
        yield Recommendation("transformer", "worth it only if it beats the floor after fine-tuning", reason)
    else:
        yield Recommendation("transformer", "worth trying", f"{reached}; {compared}, before any fine-tuning")


def _teacher(found: Evidence) -> Recommendation:
    best = found.bases[0]
    layer = f"layer {best.best} separates" if best.best else "embeddings separate"
    reason = f"its {layer} the labels best: {share(best.scored.metrics[found.metric])}%"
    if len(found.bases) > 1:
        second = found.bases[1]
        reason += f", against {share(second.scored.metrics[found.metric])}% of {second.base}"
    return Recommendation("teacher", best.base, reason)


def _length(found: Evidence) -> Iterator[Recommendation]:
    lengths = found.lengths
    if lengths is not None:
        reason = f"99% of the texts have at most {lengths.p99:,.0f} tokens"
        reason += f"; {lengths.cut:.1%} are cut, as the base reads no more" if lengths.cut > 0.011 else ""
        yield Recommendation("length", f"max_tokens = {lengths.covering}", reason)


def _student(found: Evidence) -> Recommendation:
    best, depth = found.bases[0], chosen_depth(found)
    if nothing_fits(found):
        least = min(_costs(found), key=lambda each: (each.layers, each.width))
        timed = "" if least.ms is None else f" and {least.ms:.2f} ms"
        reason = f"the smallest, {least.name}, takes {least.trimmed_mb:.1f} MB with few tokens{timed}"
        return Recommendation("student", f"{depth}x{best.width}, since no size is within the limits", reason)
    layer = best.layers[depth]
    wanted, unsure = _wanted_depth(found), "no layer surely separates the labels before training"
    if at_chance(found):
        reason = f"{unsure}, so nothing says that fewer layers are enough"
    elif depth == best.best:
        reason = "the layers before it separate the labels less well"
    elif not layer.close:  # then the best are the embeddings
        reason = f"the least; the embeddings alone separate the labels best, layer {depth}: {layer.gained} points"
    else:
        near = f"the first layer that is within noise or a point of the best, layer {best.best}"
        reason = f"{near}: {layer.gained} points"
    if depth < wanted:
        why = unsure if at_chance(found) else f"the probe asks for {wanted} layers"
        timed = "" if all(each.within is not None for each in _costs(found)) else " of those that were timed"
        reason = f"the deepest{timed} that is within the limits; {why}"
    width = chosen_width(found)
    if width < best.width:
        reason = f"no size of the base's own width, {best.width}, is within the limits"
    return Recommendation("student", f"{depth}x{width}", reason)


def _unlabelled(found: Evidence) -> Iterator[Recommendation]:
    per_label = float(np.median(found.label_counts))
    if not found.curves:
        if per_label < _FEW:
            reason = f"{per_label:,.0f} texts per label, in the median, which are too few for a learning curve"
            yield Recommendation("more text", _MORE, reason)
        return
    curve = max(found.curves, key=lambda each: each.now)
    low, high = curve.interval
    gained = f"twice the labels: {points(curve.gain, curve.interval)} points ({curve.name})"
    sampled = found.sample.of >= 2 * len(found.sample)
    gained += f", from the {len(found.sample):,} sampled texts to twice as many" if sampled else ""
    reason = f"{per_label:,.0f} texts per label, in the median; {gained}"
    learnt = max(curve.values) > _chance(found)  # a curve at the level of a blind answer says nothing of more labels
    if not learnt and per_label >= _FEW:
        reason += f"; the most frequent answer has {share(found.majority)}%"
        yield Recommendation("more text", "not known before fine-tuning", reason)
    elif (per_label < _FEW and (high > _STEEP / 2 or not learnt)) or (curve.gain >= _STEEP and low > 0 and not sampled):
        yield Recommendation("more text", _MORE, reason)
    else:
        yield Recommendation("more text", "little to gain from more labels or unlabelled texts", reason)


def _weights(found: Evidence) -> Iterator[Recommendation]:
    counted = found.label_counts
    if not len(counted) or found.sample.task.several:
        return
    ratio = counted.max() / max(1, counted.min())
    reason = f"the most frequent label has {ratio:,.1f} times the texts of the rarest"
    if _uneven(found):
        yield Recommendation("class weights", "balanced", f"{reason}, and macro F1 suffers from it")
    elif ratio >= _UNEVEN:
        yield Recommendation("class weights", "none", f"{reason}, but macro F1 does not suffer from it")
    else:
        yield Recommendation("class weights", "none", reason)


def _threshold(found: Evidence) -> Iterator[Recommendation]:
    if _tunes_threshold(found):
        floors = "the floors' is, and " if found.floors else ""
        reason = f"{floors}at a probability of 0.5 rare labels are hardly ever named"
        yield Recommendation("threshold", "tuned on validation; without it, scores are probabilities", reason)


def _testing(found: Evidence) -> Iterator[Recommendation]:
    if _asks_for_folds(found):
        reason = f"{_rows(found, 'test'):,} test texts tell only large differences apart; folds test every text once"
        yield Recommendation("test", f"folds = {_FOLDS}, with liteft distill", reason)


def _asks_for_folds(found: Evidence) -> bool:
    """Return whether the test split is small, and folds can be made: of enough texts, and of all labels."""
    enough = len(found.sample) >= 2 * _FOLDS and found.check.pool is None
    return enough and _rows(found, "test") < FEW_TO_TEST


def _rows(found: Evidence, name: str) -> int:
    """Return the number of texts of a split; 0 if there is none."""
    return next((split.rows for split in found.check.splits if split.name == name), 0)


def _tunes_threshold(found: Evidence) -> bool:
    """Return whether a threshold can be tuned: of an encoder, whose head has a bias, on enough validation texts."""
    encoder = bool(found.bases) and found.bases[0].pooling != "last"
    return found.sample.task.several and encoder and _rows(found, "validation") >= FEWEST_TO_CALIBRATE


def _uneven(found: Evidence) -> bool:
    """Return whether labels are so uneven that macro F1 is far below accuracy, for the best judge."""
    scored = [*(floor.scored for floor in found.floors), *(base.scored for base in found.bases)]
    counted = found.label_counts
    if not scored or found.sample.task.several or counted.max() < _UNEVEN * max(1, counted.min()):
        return False
    best = max(scored, key=lambda each: each.metrics[found.metric])
    return best.metrics[found.metric] - best.metrics["macro_f1"] > _GAP


def at_chance(found: Evidence) -> bool:
    """Return whether the best layer of the best base is hardly better than always giving the most frequent label."""
    base = found.bases[0]
    return base.layers[base.best].intervals[found.metric][0] <= _chance(found)


def _chance(found: Evidence) -> float:
    """Return the primary metric above which a judge is better than always giving the most frequent label, a share."""
    return found.majority + min(_CHANCE, _ROOM * (1 - found.majority))
