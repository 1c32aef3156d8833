"""Settings of a recipe that exclude each other or are missing, refused before data or models are read."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, cast, get_args

from liteft.errors import ConfigError, Hint, closest, leave_out, option
from liteft.recipes import (
    CHOICES,
    CLASSIFIERS_ONLY,
    PretrainRecipe,
    SearchRecipe,
    StudentRecipe,
    TeacherRecipe,
    TrainingRecipe,
    parse_size,
)

__all__ = [
    "Until",
    "checked_stage",
    "refuse_budget",
    "require_budget",
    "require_choice",
    "require_pretraining",
    "require_shares",
    "require_student",
    "require_teacher",
]

Until = Literal["teacher", "student", "artifact"]
_FROM_SCRATCH = Hint(
    'from_scratch=True, size="4x256", vocabulary_file="vocab.txt"',
    "--from-scratch --size 4x256 --vocabulary-file vocab.txt",
)


def require_teacher(recipe: TeacherRecipe) -> None:
    """Refuse settings of a teacher that no data and no base could mend, before either is read.

    Raises:
        ConfigError: neither or both of ``base`` and ``from_scratch``, the latter without size or vocabulary, the
            former with either, or R-Drop without dropout.
    """
    if recipe.from_scratch == (recipe.base is not None):
        raise ConfigError(
            "a teacher starts either from a base or from scratch.",
            accepted={"base": "a folder or hub name", "from_scratch": "with size and vocabulary_file, without a base"},
            fix=[option("base", "minilm"), _FROM_SCRATCH],
        )
    if recipe.from_scratch and (recipe.size is None or recipe.vocabulary_file is None):
        raise ConfigError("from_scratch needs a size and a vocabulary_file.", fix=_FROM_SCRATCH)
    if not recipe.from_scratch:
        for name in ("size", "vocabulary_file"):
            if getattr(recipe, name) is not None:
                raise ConfigError(
                    f"{name} applies to a teacher from scratch only, and this one has a base.",
                    accepted={name: "with from_scratch, and without a base"},
                    fix=leave_out(name),
                )
    elif recipe.size is not None:
        parse_size(recipe.size)
    if recipe.rdrop_weight and recipe.dropout == 0:
        raise ConfigError(
            "rdrop_weight compares two draws of dropout, and dropout = 0 draws nothing.",
            fix=option("teacher.rdrop_weight", 0),
        )


def require_choice(recipe: TrainingRecipe, own: Collection[str] = (), *, table: str) -> None:
    """Refuse a metric to choose weights by that nobody computes.

    Args:
        recipe: of a training; its ``choose_by`` counts.
        own: names of the user's own metrics.
        table: that the recipe is, for the error.

    Raises:
        ConfigError: it is neither one of LiteFT's nor one of these.
    """
    known = (*CHOICES, *own)
    if recipe.choose_by not in known:
        near = closest(recipe.choose_by, known)
        raise ConfigError(
            f"{table}.choose_by must be one of {', '.join(known)}, got {recipe.choose_by!r}.",
            accepted={"metrics of your own": "in Python, by metrics={name: function}"},
            fix=f"did you mean {near!r}?" if near else option(f"{table}.choose_by", CHOICES[0]),
        )


def require_pretraining(recipe: PretrainRecipe) -> None:
    """Refuse settings of a pretraining that no texts and no base could mend, before either is read.

    Raises:
        ConfigError: neither or both of ``base`` and ``size``, settings of a vocabulary that is not trained, or settings
            that only classifiers have.
    """
    if (recipe.size is None) == (recipe.base is None):
        raise ConfigError(
            "pretraining starts either from random weights of a size or from a base.",
            accepted={"size": "LAYERSxWIDTH, for random weights", "base": "a folder or hub name to go on from"},
            fix=[option("size", "4x256"), option("base", "minilm")],
        )
    if recipe.size is not None:
        parse_size(recipe.size)
    trained = [name for name in ("vocabulary", "vocabulary_kind", "lowercase") if getattr(recipe, name) is not None]
    given = "a base" if recipe.base is not None else "vocabulary_file"
    own = [*(["vocabulary_file"] if recipe.vocabulary_file is not None and recipe.base is not None else []), *trained]
    if own and (recipe.base is not None or recipe.vocabulary_file is not None):
        raise ConfigError(
            f"{own[0]} does not apply with {given}, which has a vocabulary already.",
            accepted={own[0]: "with a size" + ("" if own[0] == "vocabulary_file" else ", and without vocabulary_file")},
            fix=leave_out(own[0] if own[0] != "lowercase" else "pretrain.lowercase"),
        )
    if recipe.lowercase is not None and recipe.vocabulary_kind not in (None, "wordpiece"):
        raise ConfigError(
            f"lowercase applies to WordPiece only, and vocabulary_kind is {recipe.vocabulary_kind}.",
            fix=[leave_out("pretrain.lowercase"), option("vocabulary_kind", "wordpiece")],
        )
    for name in CLASSIFIERS_ONLY:
        if getattr(recipe, name) != PretrainRecipe.model_fields[name].default:
            raise ConfigError(
                f"{name} applies to classifiers, and pretraining has no labels.", fix=leave_out(f"pretrain.{name}")
            )


def require_student(recipe: StudentRecipe) -> None:
    """Refuse settings of a student that no data and no teacher could mend, before either is read.

    Raises:
        ConfigError: neither or both of ``size`` and ``student``, a first stage without anything to match, no epochs, or
            a learning rate that is none.
    """
    if (recipe.size is None) == (recipe.student is None):
        given = "neither is" if recipe.size is None else "both are"
        raise ConfigError(
            f"a student has either a size or an encoder of its own; {given} given.",
            accepted={"size": "LAYERSxWIDTH, cut out of the teacher", "student": "folder of an encoder"},
            fix=option("size", "3x384"),
        )
    if recipe.size is not None:
        parse_size(recipe.size)
    if recipe.matching_epochs and not (recipe.hidden_weight or recipe.relation_weight):
        raise ConfigError(
            f"matching_epochs={recipe.matching_epochs:g} has nothing to match.",
            accepted={"hidden_weight, relation_weight": "one of them above 0"},
            fix=[option("student.hidden_weight", 1), option("student.matching_epochs", 0)],
        )
    if recipe.epochs == 0 and not recipe.quantized_epochs:
        raise ConfigError(
            "a student of no epochs learns nothing.",
            accepted={"epochs": "above 0, or 0 before quantized_epochs"},
            fix=option("epochs", 6),
        )
    if recipe.learning_rates and recipe.epochs == 0:
        raise ConfigError(
            "learning_rates are searched over epochs in float, and epochs is 0.",
            fix=[leave_out("student.learning_rates"), option("epochs", 6)],
        )
    _require_used(recipe)
    if recipe.transfer == "pool":
        _require_public(recipe)
    if recipe.folds == 1:
        raise ConfigError(
            "one fold leaves nothing to train on.",
            accepted={"folds": "2 or more, or 0 for none"},
            fix=option("folds", 5),
        )
    if recipe.teacher_folds == 1:
        raise ConfigError(
            "a teacher that leaves out its only fold has nothing to learn from.",
            accepted={"teacher_folds": "2 to 10; 0 for none"},
            fix=option("student.teacher_folds", 3),
        )
    if recipe.learning_rates and recipe.rate_search:
        raise ConfigError(
            "rate_search tries rates around one, and learning_rates names them.",
            fix=[leave_out("student.rate_search"), leave_out("student.learning_rates")],
        )
    wrong = [rate for rate in recipe.learning_rates or () if rate <= 0]
    if wrong or recipe.learning_rates == []:
        raise ConfigError(
            f"learning_rates={recipe.learning_rates} cannot be searched.",
            accepted={"learning_rates": "above 0, one or more"},
            fix=option("student.learning_rates", [1e-4, 2e-4]),
        )


def _require_public(recipe: StudentRecipe) -> None:
    """Refuse what would show a student private texts or their labels where it is to learn unlabelled ones alone.

    Raises:
        ConfigError: there are no unlabelled texts, or a setting reads other texts or chooses by their labels.
    """
    if recipe.unlabeled is None:
        raise ConfigError(
            "transfer=pool learns unlabelled texts alone, and none were given.", fix=option("unlabeled", "FILE")
        )
    why = {
        "arms": "arms learn the labelled texts",
        "control": "a control learns the labelled texts",
        "folds": "folds train on the labelled texts again and again",
        "teacher_folds": "these teachers answer for the labelled texts",
        "hard_weight": "it weighs labels, and the unlabelled texts have none",
        "learning_rates": "validation would choose the rate",
        "rate_search": "validation would choose the rate",
        "early_stopping": "validation would say when to stop",
        "choose_by": "the last weights are kept, and validation chooses none",
        "class_weights": "they are counted over the labels",
        "tune_threshold": "it is fitted to the texts of validation",
        "hidden_weight": "states say more of what the teacher has seen than answers do",
        "relation_weight": "states say more of what the teacher has seen than answers do",
    }
    for name, reason in why.items():
        value, usual = getattr(recipe, name), StudentRecipe.model_fields[name].default
        if value and value != usual:
            raise ConfigError(
                f"{name}={value} does not go with transfer=pool: {reason}.",
                accepted={"transfer": "pool: the unlabelled texts, the teacher's answers, and nothing else"},
                fix=[leave_out(f"student.{name}"), option("student.transfer", "all")],
            )


def _require_used(recipe: StudentRecipe) -> None:
    """Refuse settings that nothing would read.

    Raises:
        ConfigError: a setting differs from its default, and what it is for is not asked for.
    """
    used = {
        "layers": (recipe.student is None, "a size, which is cut out of the teacher"),
        "temperature": (recipe.logits_loss == "kl", "logits_loss = kl"),
        "general_epochs": (recipe.general is not None, "general, the texts that come before the task"),
        "general_learning_rate": (recipe.general is not None, "general, the texts that come before the task"),
        "fill_vocabulary": (recipe.vocabulary is not None, "vocabulary, the number of tokens to keep"),
        "vocabulary_min_count": (recipe.vocabulary is not None, "vocabulary, the number of tokens to keep"),
        "augment_labelled": (recipe.augmentation != "none" or not recipe.augment_labelled, "augmentation"),
        "rate_search": (recipe.epochs != 0 or not recipe.rate_search, "epochs above 0"),
    }
    for name, (read, with_what) in used.items():
        if not read and getattr(recipe, name) != StudentRecipe.model_fields[name].default:
            raise ConfigError(
                f"{name}={getattr(recipe, name)} changes nothing here.",
                accepted={name: f"with {with_what}"},
                fix=leave_out(f"student.{name}"),
            )


def checked_stage(until: str) -> Until:
    """Return the stage to stop after.

    Raises:
        ConfigError: there is no such stage.
    """
    stages = get_args(Until)
    if until not in stages:
        near = closest(until, stages) if isinstance(until, str) else None
        raise ConfigError(
            f"there is no stage {until!r} to stop after.",
            accepted={"until": ", ".join(stages)},
            fix=option("until", near or stages[-1]),
        )
    return cast(Until, until)


def require_budget(recipe: SearchRecipe) -> None:
    """Refuse a search without a limit.

    Raises:
        ConfigError: the recipe sets none of max_mb, max_ms and max_drop.
    """
    if not _limits(recipe):
        raise ConfigError(
            "a search needs a budget.",
            accepted={"budget": "max_mb, max_ms, max_drop: one of them at least"},
            fix=Hint("max_mb=9.5, max_ms=2, max_drop=1", "--max-mb 9.5 --max-ms 2 --max-drop 1"),
        )


def refuse_budget(recipe: SearchRecipe) -> None:
    """Refuse the limits of a search where one size is distilled: it would not keep to them.

    Raises:
        ConfigError: the recipe has such limits.
    """
    if limits := _limits(recipe):
        raise ConfigError(
            f"the recipe has a budget ([search] {', '.join(limits)}), and distill makes a student of one size.",
            fix=[
                Hint("liteft.search(...), for the best size within it", "liteft search, for the best size within it"),
                "leave out these keys of [search]",
            ],
        )


def require_shares(recipe: TrainingRecipe, processes: int, *, table: str = "") -> None:
    """Refuse texts of a step that several processes cannot share equally.

    Args:
        recipe: its ``batch_size`` counts.
        processes: that train together.
        table: of the recipe, for the error; "" for the one that ``batch_size`` belongs to.

    Raises:
        ConfigError: the batch size is not a multiple of the processes.
    """
    size = recipe.batch_size
    if size % processes:
        name = f"{table}.batch_size" if table else "batch_size"
        raise ConfigError(
            f"{size} texts of a step cannot be shared equally by {processes} processes.",
            accepted={name: f"a multiple of {processes}"},
            fix=option(name, processes * max(1, round(size / processes))),
        )


def _limits(recipe: SearchRecipe) -> list[str]:
    return [name for name in ("max_mb", "max_ms", "max_drop") if getattr(recipe, name) is not None]
