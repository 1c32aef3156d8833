"""scikit-learn, which trains the floors: whether it is installed, and the error if it is not."""

from __future__ import annotations

from importlib.util import find_spec

from liteft.errors import MissingExtraError
from liteft.installation import install_hint

__all__ = ["can_train", "require_sklearn"]


def can_train() -> bool:
    """Return whether scikit-learn is installed; nothing is imported."""
    return find_spec("sklearn") is not None


def require_sklearn() -> None:
    """Raise MissingExtraError if scikit-learn cannot be imported."""
    try:
        import sklearn  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"floors need {error.name or 'scikit-learn'}, which is not installed.".replace("sklearn", "scikit-learn"),
            fix=install_hint("report"),
        ) from None
