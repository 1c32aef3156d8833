"""``liteft pretrain``: make a base of unlabelled texts, from random weights or from another base."""

from __future__ import annotations

from dataclasses import asdict

from liteft.cli import groups
from liteft.cli.flags.data import Delimiter, Encoding, Text, ValidationFraction
from liteft.cli.flags.machine import Out, Processes
from liteft.cli.flags.models import Base, MaxTokens, Size, Vocabulary, VocabularyFile
from liteft.cli.flags.pretraining import MaskedShare, Texts, VocabularyKind

EXAMPLES = (
    "liteft pretrain --texts corpus/ --size 4x256 --vocabulary 8000 --out runs/base",
    "liteft pretrain --texts reviews.txt --base minilm --epochs 3 --out runs/base",
)


@groups.flat
def pretrain(
    *,
    texts: Texts = None,
    text: Text = None,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    validation_fraction: ValidationFraction = None,
    base: Base = None,
    size: Size = None,
    max_tokens: MaxTokens = None,
    vocabulary_file: VocabularyFile = None,
    vocabulary: Vocabulary = None,
    vocabulary_kind: VocabularyKind = None,
    masked_share: MaskedShare = None,
    training: groups.Training,
    machine: groups.Machine,
    processes: Processes = 1,
    out: Out,
    settings: groups.Settings,
    output: groups.Output,
) -> None:
    """Pretrain an encoder on unlabelled texts by masked words, which makes a base.

    It starts from random weights (--size) or goes on from a base (--base). The folder can be given wherever a base is
    taken. Repeating the command resumes where it stopped.
    """
    from liteft.cli.settings import only_base, resolve
    from liteft.recipe_checks import require_pretraining

    start = {"base": only_base(base), "size": size, "max_tokens": max_tokens}
    words = {"vocabulary_file": vocabulary_file, "vocabulary": vocabulary, "vocabulary_kind": vocabulary_kind}
    masking = {"texts": texts, "masked_share": masked_share, "validation_fraction": validation_fraction}
    recipe = resolve(
        settings,
        data={"text": text, "encoding": encoding, "delimiter": delimiter},
        pretrain={**start, **words, **masking, **asdict(training), **asdict(machine)},
    )
    require_pretraining(recipe.pretrain)
    console = output.console()
    import liteft

    run = liteft.pretrain(out=out, recipe=recipe, processes=processes, progress=console.progress)
    following = ["liteft", "finetune", "--data", "DATA", "--base", out, "--out", f"{out.rstrip('/')}-tuned"]
    console.result(run.render(), run.to_dict(), following=following)
