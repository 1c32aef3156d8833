"""The classifiers of floors: naive Bayes, a linear SVM and logistic regression, for one label per text or several.

Of words there are the linear SVM and `most_frequent`, which looks words up.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from liteft.tasks import Task

__all__ = ["NEVER", "Fitted", "logistic_regression", "most_frequent", "naive_bayes", "support_vectors"]

Fitted = Callable[[Any], np.ndarray]
"""From features (texts, features) to logits: float64 (texts, labels), whose decisions are those of the classifier.

Where words are judged, a row is a word.
"""

NEVER = -1e4
"""The logit of a label that no training text has."""
_SURE = 1e-12


def naive_bayes(features: Any, labels: np.ndarray, task: Task, count: int, *, alpha: float) -> Fitted:
    """Return multinomial naive Bayes with additive smoothing ``alpha``; its logits are log probabilities or log odds.

    Source: Manning, Raghavan and Schütze 2008, Introduction to Information Retrieval, chapter 13.
    """
    from sklearn.naive_bayes import MultinomialNB

    return _fitted(MultinomialNB(alpha=alpha), features, labels, task, count)


def support_vectors(features: Any, labels: np.ndarray, task: Task, count: int, *, c: float) -> Fitted:
    """Return a linear SVM, one label against the rest; its logits are distances from the planes, not probabilities.

    Source: Fan et al. 2008, LIBLINEAR, JMLR 9:1871.
    """
    from sklearn.svm import LinearSVC

    return _fitted(LinearSVC(C=c, tol=1e-3, random_state=0), features, labels, task, count)


def logistic_regression(features: Any, labels: np.ndarray, task: Task, count: int, *, c: float) -> Fitted:
    """Return logistic regression with an L2 penalty of 1/c, multinomial or one label against the rest."""
    from sklearn.linear_model import LogisticRegression

    return _fitted(LogisticRegression(C=c, max_iter=300), features, labels, task, count)


def most_frequent(numbers: np.ndarray, labels: np.ndarray, _task: Task, count: int, *, alpha: float) -> Fitted:
    """Return how often each word has each tag, in log probabilities, towards the frequency of the tags by ``alpha``.

    A word that was not seen as it is written counts as its lower case, and another as any word: so the best tag of each
    is the most frequent one, if ``alpha`` is less than 1.

    Args:
        numbers: of the words, and of their lower cases, -1 for others: int64 (words, 2).
        labels, _task, count: as for the other classifiers.
        alpha: words that the frequency of the tags counts for.
    """
    everywhere = np.bincount(labels, minlength=count) / max(1, len(labels))
    tables = []
    for column in numbers.T:
        cells = column * count + labels
        tables.append(np.bincount(cells, minlength=(int(column.max(initial=-1)) + 1) * count).reshape(-1, count))

    def logits(some: np.ndarray) -> np.ndarray:
        counted = np.zeros((len(some), count))
        for column, table in reversed(list(zip(some.T, tables, strict=True))):  # the word as written comes last
            seen = column >= 0
            counted[seen] = table[column[seen]]
        shares = (counted + alpha * everywhere) / (counted.sum(axis=1, keepdims=True) + alpha)
        with np.errstate(divide="ignore"):
            return np.where(everywhere > 0, np.maximum(np.log(shares), NEVER / 2), NEVER)

    return logits


def _fitted(model: Any, features: Any, labels: np.ndarray, task: Task, count: int) -> Fitted:
    """Fit a model of scikit-learn and return the function that gives its logits for all ``count`` labels."""
    if task.several:
        return _one_by_one(model, features, labels)
    classes = np.unique(labels)
    if len(classes) == 1:
        return lambda some: _spread(np.zeros((some.shape[0], 1)), classes, count)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence: floors are quick, not exact
        model.fit(features, labels)
    return lambda some: _spread(_single_logits(model, some), classes, count)


def _one_by_one(model: Any, features: Any, labels: np.ndarray) -> Fitted:
    """Fit one copy of the model for each label against the rest."""
    from sklearn.base import clone

    models = []
    for column in labels.T.astype(bool):
        constant = column.all() or not column.any()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            models.append(bool(column[0]) if constant else clone(model).fit(features, column))

    def logits(some: Any) -> np.ndarray:
        found = np.empty((some.shape[0], len(models)))
        for number, each in enumerate(models):
            if isinstance(each, bool):
                found[:, number] = -NEVER if each else NEVER
            else:
                found[:, number] = _binary_logits(each, some)
        return found

    return logits


def _single_logits(model: Any, features: Any) -> np.ndarray:
    """Return (texts, classes): decision values, or log probabilities of a model without them."""
    if not hasattr(model, "decision_function"):
        return np.asarray(model.predict_log_proba(features))
    values = np.asarray(model.decision_function(features), dtype=np.float64)
    # of two classes scikit-learn returns the logit of the second, whose softmax needs the first at 0
    return np.stack([np.zeros(len(values)), values], axis=1) if values.ndim == 1 else values


def _binary_logits(model: Any, features: Any) -> np.ndarray:
    if hasattr(model, "decision_function"):
        return np.asarray(model.decision_function(features), dtype=np.float64)
    yes = np.clip(model.predict_proba(features)[:, 1], _SURE, 1 - _SURE)
    return np.asarray(np.log(yes) - np.log1p(-yes))


def _spread(logits: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """Return logits with a column for each of ``count`` labels; those without training texts are never predicted."""
    found = np.full((len(logits), count), NEVER)
    found[:, classes] = np.maximum(logits, NEVER / 2)
    return found
