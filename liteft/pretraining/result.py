"""A base that was made of unlabelled texts, on disk: how well it guesses masked words, or imitates another base.

A folder holds recipe.toml, run.json (kind "base") and log.jsonl as every run does, and in model/ the base as
transformers writes it, with its tokenizer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liteft.errors import RunError
from liteft.foreign import RUN_FILE
from liteft.results import Result
from liteft.run import BASE_KIND, MODEL_FOLDER, read_info
from liteft.text_tables import aligned

__all__ = ["Pretrained", "read_pretrained"]


@dataclass(frozen=True, slots=True)
class Pretrained(Result):
    """A base that ``liteft.pretrain`` made, or ``liteft.distill`` of general texts.

    Attributes:
        path: folder of the run; it can be given wherever a base is taken.
        info: what its run.json says.
    """

    path: Path
    info: dict[str, Any]

    @property
    def model_path(self) -> Path:
        """Folder of the base, as transformers writes it."""
        return self.path / MODEL_FOLDER

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """Metrics of "validation": masked_loss in nats, perplexity and masked_accuracy; or of imitating a base.

        The latter are imitation_loss and its parts, relation_loss in nats and hidden_loss, a mean squared difference.
        """
        found: dict[str, dict[str, Any]] = self.info["metrics"]
        return found

    def render(self) -> str:
        """Return the base as text: its size, and how well it guesses or imitates."""
        validation, vocabulary = self.metrics["validation"], self.info["vocabulary"]
        before = self.info.get("general", {}).get("before")
        if before is None:
            cells = {
                "loss": f"{validation['masked_loss']:.3f}",
                "perplexity": f"{validation['perplexity']:.1f}",
                "guessed %": f"{100 * validation['masked_accuracy']:.1f}",
            }
            note = "loss (nats), perplexity and share guessed right: of masked validation tokens."
        else:
            cells = {
                name.replace("_", " "): f"{before[name]:.3f} -> {validation[name]:.3f}"
                for name in ("relation_loss", "hidden_loss")
            }
            note = (
                f"distilled from {self.info['base']} on {self.info['data']['texts']:,} texts, before -> after on "
                "validation: divergence of attention relations (nats), squared difference of hidden states."
            )
        rows: list[tuple[str, ...]] = [
            ("base", "parameters", "file MB", "vocabulary", "steps", *cells),
            (
                str(self.path),
                f"{self.info['parameters'] / 1e6:.1f} M",
                f"{self.info['size_bytes'] / 1e6:.1f}",
                f"{vocabulary['tokens']:,} {vocabulary['kind']}",
                f"{self.info['steps']:,}",
                *cells.values(),
            ),
        ]
        return "\n".join([aligned(rows, texts=1), note, *(f"warning: {line}" for line in self.info["warnings"])])

    def to_dict(self) -> dict[str, Any]:
        """Return the base as plain data: its path and what its run.json says."""
        return {"path": str(self.path), **self.info}


def read_pretrained(path: str | Path) -> Pretrained:
    """Return the base that ``liteft.pretrain`` made in a folder.

    Raises:
        RunError: the folder holds no finished run, or a classifier's.
    """
    path = Path(path)
    info = read_info(path)
    if info["kind"] != BASE_KIND:
        raise RunError(
            f"{path} contains a {info['kind']}, not a pretrained base.",
            accepted={"a base": f"a folder with {RUN_FILE}, as liteft.pretrain writes it"},
            fix="liteft pretrain",
        )
    return Pretrained(path, info)
