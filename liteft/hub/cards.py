"""The metadata that the hub reads from a model card: what was measured, and what only its owner knows.

Metrics come from the records of an artifact or a run. License, language, data sets and base are said by who pushes, and
never guessed: what nobody says is left out, and without a license nothing is pushed. The client's own `ModelCardData`
and `EvalResult` write and check them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from liteft.errors import ConfigError, closest, option
from liteft.text_tables import metric_words

__all__ = ["CardWords", "Described", "Measured", "front_matter"]

_LICENSES = (
    *("apache-2.0", "mit", "bsd-3-clause", "mpl-2.0", "gpl-3.0", "agpl-3.0", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0"),
    *("cc-by-nc-4.0", "openrail", "other", "unknown"),
)
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]{0,60}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*|multilingual|code")
_ON_HUB = re.compile(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)?")
_IDS = {
    **{name: name for name in ("accuracy", "f1", "precision", "recall", "exact_match", "mrr")},
    **{"macro_f1": "f1", "micro_f1": "f1", "spearman": "spearmanr", "pearson": "pearsonr", "ndcg_10": "ndcg"},
}
"""Metrics that are stated, by the hub's names for them."""
_CUSTOM = "custom"  # data that are not on the hub
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Measured:
    """Metrics of one split.

    Attributes:
        split: its name.
        values: the metrics by LiteFT's names; others than the hub's are passed over.
        of: what gave them, in words such as "native engine"; "" for the model itself.
    """

    split: str
    values: dict[str, Any]
    of: str = ""


@dataclass(frozen=True, slots=True)
class Described:
    """What a model says of itself.

    Attributes:
        pipeline_tag: the hub's word for its task.
        library: what loads it.
        tags: words to find it by.
        data: name of the data that it was trained and measured on.
        measured: its metrics.
    """

    pipeline_tag: str
    library: str
    tags: tuple[str, ...]
    data: str | None = None
    measured: tuple[Measured, ...] = ()


@dataclass(frozen=True, slots=True)
class CardWords:
    """What only the owner of a model can say of it.

    Attributes:
        license: the hub's word for it, such as "apache-2.0".
        language: languages of the texts, such as "en", or several.
        dataset: data sets on the hub that it was trained on.
        base_model: the model on the hub that it was made from.
    """

    license: str | None = None
    language: str | Sequence[str] | None = None
    dataset: str | Sequence[str] | None = None
    base_model: str | None = None

    def check(self) -> None:
        """Refuse words that the hub does not take.

        Raises:
            ConfigError: there is no license, or a word is not of the form that the hub has.
        """
        if self.license is None:
            raise ConfigError(
                "a license was not given, and without one nobody may use what is pushed.",
                accepted={"license": f"the hub's word for it: {', '.join(_LICENSES)}, ..."},
                fix=[option("license", "apache-2.0"), option("license", "other", note=", for one of your own")],
            )
        if not _LICENSE.fullmatch(self.license):
            raise ConfigError(
                f"the license {self.license[:80]!r} is not written as the hub writes licenses.",
                accepted={"license": f"in small letters: {', '.join(_LICENSES)}, ..."},
                fix=option("license", closest(self.license, _LICENSES) or "other"),
            )
        for language in listed(self.language):
            if not _LANGUAGE.fullmatch(language):
                raise ConfigError(
                    f"the language {language[:80]!r} is not a code of ISO 639.",
                    accepted={"language": "two or three small letters, such as en, or multilingual"},
                    fix=option("language", "en"),
                )
        named = [("dataset", each) for each in listed(self.dataset)]
        for name, value in [*named, *([] if self.base_model is None else [("base_model", self.base_model)])]:
            if not _ON_HUB.fullmatch(value):
                raise ConfigError(
                    f"{name} {value[:80]!r} cannot be a name on the hub.",
                    accepted={name: "OWNER/NAME, as the hub has it"},
                    fix=option(name, "OWNER/NAME"),
                )


def listed(value: str | Sequence[str] | None) -> list[str]:
    """Return one value or several as a list; [] for None."""
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def front_matter(hub: Any, title: str, described: Described, words: CardWords) -> str:
    """Return the YAML block that begins a model card on the hub, with its dashes.

    Args:
        hub: the client.
        title: name of the model.
        described: what the model says of itself.
        words: what its owner says.

    Raises:
        ConfigError: a word is missing, or not of the form that the hub has.
    """
    words.check()
    datasets = listed(words.dataset)
    results = list(_results(hub, described, datasets))
    data = hub.ModelCardData(
        license=words.license,
        language=listed(words.language) or None,
        datasets=datasets or None,
        base_model=words.base_model,
        library_name=described.library,
        pipeline_tag=described.pipeline_tag,
        tags=list(described.tags),
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        model_name=title,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def _results(hub: Any, described: Described, datasets: Sequence[str]) -> Iterator[Any]:
    """Yield an EvalResult for each metric that the hub knows."""
    known = datasets[0] if len(datasets) == 1 else _CUSTOM
    for measured in described.measured:
        for metric, kind in _IDS.items():
            value = measured.values.get(metric)
            if isinstance(value, int | float):
                yield hub.EvalResult(
                    task_type=described.pipeline_tag,
                    dataset_type=known,
                    dataset_name=described.data or "unnamed",
                    dataset_split=measured.split,
                    metric_type=kind,
                    metric_name=", ".join(filter(None, (metric_words(metric), measured.of))),
                    metric_value=round(float(value), _DIGITS),
                )
