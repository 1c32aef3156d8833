"""The limits of a search: megabytes, milliseconds, points of the main metric."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from liteft.recipe_checks import require_budget
from liteft.recipes import SearchRecipe

__all__ = ["Budget"]

_TOLERANCE = 1e-9  # for rounding errors of float sums, so that a drop of 1.0 points is within 1.0


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of a search; None means unlimited.

    Attributes:
        max_mb: total size of all files in the artifact's folder, in 10^6 bytes.
        max_ms: median latency of one text through ``liteft.load``, tokenization included, on the machine of the search.
        max_drop: how far the task's main metric may lie below the teacher's on the validation split, in points.
    """

    max_mb: float | None = None
    max_ms: float | None = None
    max_drop: float | None = None

    @classmethod
    def of(cls, recipe: SearchRecipe) -> Budget:
        """Return the budget that a recipe sets.

        Raises:
            ConfigError: the recipe sets no limit.
        """
        require_budget(recipe)
        return cls(recipe.max_mb, recipe.max_ms, recipe.max_drop)

    def excess(
        self, *, mb: float | None = None, ms: float | None = None, drop: float | None = None
    ) -> dict[str, float]:
        """Return the exceeded limits and by how much: "max_mb", "max_ms" or "max_drop" -> MB, ms or points above it.

        Args:
            mb, ms, drop: the measured values of a model; None means unknown, which exceeds nothing.
        """
        costs = {"max_mb": mb, "max_ms": ms, "max_drop": drop}
        limits = asdict(self)
        return {
            name: cost - limits[name]
            for name, cost in costs.items()
            if cost is not None and limits[name] is not None and cost > limits[name] + _TOLERANCE
        }

    def text(self, metric: str) -> str:
        """Return the limits as one line; ``metric`` is the name of the main metric."""
        points = "point" if self.max_drop == 1 else "points"
        parts = [
            None if self.max_mb is None else f"{self.max_mb:g} MB",
            None if self.max_ms is None else f"{self.max_ms:g} ms per text",
            None if self.max_drop is None else f"{self.max_drop:g} {points} of {metric} below the teacher",
        ]
        return ", ".join(part for part in parts if part is not None)
