"""Searches and cross-validation that train the networks of many fits in one batch."""

from __future__ import annotations

import math
import os
from contextlib import nullcontext
from itertools import chain
from numbers import Integral

import numpy as np
from sklearn import model_selection
from sklearn.utils import check_scalar

from ._estimator import NetworkEstimator
from ._processes import batching

__all__ = ["GridSearchCV", "RandomizedSearchCV", "batched_fits", "cross_validate"]

MOST_FITS = 1000  # at the same time
COPIES = 4  # of X in a fit that waits for the others
SHARE = 0.5  # of the free memory, for these
UNKNOWN = 2**32  # bytes of free memory, where the system does not tell


class _Search:
    """The part of both searches that gathers their fits."""

    def fit(self, X, y=None, **params):
        """Fit all candidates on all splits, and then the best one on all samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            The classes or targets.
        **params : dict
            As in scikit-learn: `groups` for the splitter, `sample_weight` and the like for `fit`,
            and metadata for the scorer.

        Returns
        -------
        self : object
            The fitted search.

        Raises
        ------
        ValueError
            If all fits have failed, or one of them with ``error_score="raise"``.
        """
        with _gathered(self._estimators(), X, self.n_jobs):
            return super().fit(X, y, **params)

    def _estimators(self):
        """Return the estimator, and what its parameters may be in the search."""
        return [self.estimator, *_values_of(self._choices())]


class GridSearchCV(_Search, model_selection.GridSearchCV):
    """`sklearn.model_selection.GridSearchCV` that trains networks of many fits in one batch.

    Parameters, attributes and results are those of scikit-learn's class. Networks are trained side
    by side if they have the same layers: those of all splits, and candidates with other values of
    `h`, `alpha`, `learn_step`, `smoothness`, `random_state`, `activation` or explicit `scheme`.
    Networks with other values of `N` or `n_channels` form other batches. With Adam, so do those of
    another split, seed, activation or scheme; with implicit schemes, those of another split. On a
    GPU, so do those of another activation or scheme, but small networks with other values of `N`
    often share a batch. Everything else is as in scikit-learn, also pipelines, metadata and errors,
    and each network gets the same bits as in a fit of its own; on a GPU, the same numbers up to
    rounding errors.

    Parameters
    ----------
    estimator : estimator
        One of skode, or a pipeline or other meta-estimator with one inside. Without one, the search
        is scikit-learn's.
    param_grid : dict or list of dicts
        The values of the parameters to try.
    scoring : str, callable, list, tuple or dict, default=None
        How candidates are scored.
    n_jobs : int, default=None
        The number of processes, as in scikit-learn. Each of them trains the networks of its part of
        the fits in batches. 1 means this process, with as many threads as BLAS uses. None means 1,
        unless in a context of `joblib.parallel_config`.
    refit : bool, str, or callable, default=True
        Whether, or by which score, the best candidate is fitted again on all samples.
    cv : int, splitter or iterable, default=None
        The splits.
    verbose : int, default=0
        How much the search prints.
    pre_dispatch : int or str, default="2*n_jobs"
        How many fits are prepared in advance. A small integer makes small batches; leave it at the
        default.
    error_score : "raise" or numeric, default=np.nan
        The score of a fit that has failed.
    return_train_score : bool, default=False
        Whether to score on the training samples too.

    See Also
    --------
    RandomizedSearchCV : Draws candidates at random.
    batched_fits : The same for other tools of scikit-learn.

    Notes
    -----
    The fit times in `cv_results_` include the time that a fit has waited for the others. Estimators
    with `max_time`, `verbose` or callbacks are trained one by one. The number of fits that wait at
    the same time is at most 1000, and less if X is large, since each of them holds copies of X.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skode import ODENetClassifier
    >>> from skode.model_selection import GridSearchCV
    >>> X, y = load_iris(return_X_y=True)
    >>> model = ODENetClassifier(n_channels=4, cv=None, tol=0.1, random_state=0)
    >>> grid = {"h": [0.25, 0.5], "alpha": [1e-4, 1e-2]}
    >>> search = GridSearchCV(model, grid, cv=3).fit(X, y)
    >>> len(search.cv_results_["params"])
    4
    """

    def _choices(self):
        return _choices_of(self.param_grid)


class RandomizedSearchCV(_Search, model_selection.RandomizedSearchCV):
    """`sklearn.model_selection.RandomizedSearchCV` that trains networks of many fits in one batch.

    It differs from scikit-learn's class as `GridSearchCV` does.

    Parameters
    ----------
    estimator : estimator
        One of skode, or a pipeline or other meta-estimator with one inside.
    param_distributions : dict or list of dicts
        The values or distributions of the parameters to try.
    n_iter : int, default=10
        The number of candidates.
    scoring : str, callable, list, tuple or dict, default=None
        How candidates are scored.
    n_jobs : int, default=None
        The number of processes, as in scikit-learn. Each of them trains the networks of its part of
        the fits in batches. 1 means this process, with as many threads as BLAS uses. None means 1,
        unless in a context of `joblib.parallel_config`.
    refit : bool, str, or callable, default=True
        Whether, or by which score, the best candidate is fitted again on all samples.
    cv : int, splitter or iterable, default=None
        The splits.
    verbose : int, default=0
        How much the search prints.
    pre_dispatch : int or str, default="2*n_jobs"
        How many fits are prepared in advance. A small integer makes small batches; leave it at the
        default.
    random_state : int, RandomState instance or None, default=None
        Draws the candidates.
    error_score : "raise" or numeric, default=np.nan
        The score of a fit that has failed.
    return_train_score : bool, default=False
        Whether to score on the training samples too.

    See Also
    --------
    GridSearchCV : Tries all combinations.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from sklearn.datasets import load_diabetes
    >>> from skode import ODENetRegressor
    >>> from skode.model_selection import RandomizedSearchCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = ODENetRegressor(n_channels=4, cv=None, tol=0.1, random_state=0)
    >>> choices = {"alpha": loguniform(1e-4, 1e-1), "learn_step": [False, True]}
    >>> search = RandomizedSearchCV(model, choices, n_iter=5, cv=3, random_state=0).fit(X, y)
    >>> bool(search.best_score_ > 0.3)
    True
    """

    def _choices(self):
        return _choices_of(self.param_distributions)


def cross_validate(estimator, X, y=None, *, n_jobs=None, **options):
    """`sklearn.model_selection.cross_validate` that trains the networks of the splits in one batch.

    With Adam or an implicit scheme, different splits are trained in different batches. To compare
    several settings on the same splits, use a search:
    ``GridSearchCV(estimator, {"scheme": ["euler", "rk4"]}, cv=splits, refit=False)``.

    Parameters
    ----------
    estimator : estimator
        One of skode, or a pipeline or other meta-estimator with one inside.
    X : array-like of shape (n_samples, n_features)
        The features.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        The classes or targets.
    n_jobs : int, default=None
        The number of processes, as in scikit-learn. Each of them trains the networks of its part of
        the fits in batches. 1 means this process, with as many threads as BLAS uses. None means 1,
        unless in a context of `joblib.parallel_config`.
    **options : dict
        All other parameters of scikit-learn's function, such as `scoring` and `cv`.

    Returns
    -------
    dict
        The result of scikit-learn's function: times and scores, each an array of shape (n_splits,),
        and what else the options ask for.

    Raises
    ------
    ValueError
        If all fits have failed, or one of them with ``error_score="raise"``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skode import ODENetClassifier
    >>> from skode.model_selection import cross_validate
    >>> X, y = load_iris(return_X_y=True)
    >>> model = ODENetClassifier(n_channels=4, cv=None, tol=0.1, random_state=0)
    >>> cross_validate(model, X, y, cv=3)["test_score"].shape
    (3,)
    """
    with _gathered([estimator], X, n_jobs):
        return model_selection.cross_validate(estimator, X, y, n_jobs=n_jobs, **options)


def batched_fits(n_jobs=None, max_fits=100):
    """Return a context in which parallel fits train their networks in one batch.

    It is for all tools of scikit-learn that fit in parallel through joblib, such as
    `validation_curve`, `learning_curve`, `permutation_test_score` or `BaggingClassifier`. In the
    context, their own `n_jobs` has no effect.

    Parameters
    ----------
    n_jobs : int, default=None
        The number of processes, as in scikit-learn. Each of them trains the networks of its part of
        the fits in batches. 1 means this process, with as many threads as BLAS uses. None means 1,
        unless in a context of `joblib.parallel_config`.
    max_fits : int, default=100
        The largest number of fits that wait at the same time, in all processes together. Each of
        them holds copies of its X.

    Returns
    -------
    context manager

    Raises
    ------
    TypeError
        If a parameter is no integer.
    ValueError
        If `max_fits` is less than 2.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import validation_curve
    >>> from skode import ODENetClassifier
    >>> from skode.model_selection import batched_fits
    >>> X, y = load_iris(return_X_y=True)
    >>> model = ODENetClassifier(n_channels=4, cv=None, tol=0.1, random_state=0)
    >>> options = {"param_name": "alpha", "param_range": [1e-4, 1e-2], "cv": 3}
    >>> with batched_fits():
    ...     train, test = validation_curve(model, X, y, **options)
    >>> test.shape
    (2, 3)
    """
    check_scalar(max_fits, "max_fits", Integral, min_val=2)
    if n_jobs is not None:
        check_scalar(n_jobs, "n_jobs", Integral)
    return batching(n_jobs, max_fits)


def _gathered(estimators, X, n_jobs):
    """Return the context for fits on X; without a network, everything is as in scikit-learn."""
    valid = n_jobs is None or isinstance(n_jobs, Integral)
    if not (valid and any(map(_is_network, estimators))):
        return nullcontext()
    return batching(n_jobs, _number_of_fits(X))


def _choices_of(grids):
    """Return the values or distributions of a grid or of several; scikit-learn checks them."""
    grids = grids if isinstance(grids, list | tuple) else [grids]
    return chain.from_iterable(grid.values() for grid in grids if hasattr(grid, "values"))


def _values_of(choices):
    """Yield the values of parameters in a search; a distribution has no list of them."""
    for values in choices:
        if isinstance(values, list | tuple):
            yield from values


def _is_network(estimator):
    """Whether an estimator is one of skode, or has one inside."""
    if isinstance(estimator, NetworkEstimator):
        return True
    if not hasattr(estimator, "get_params") or isinstance(estimator, type):
        return False
    return any(isinstance(part, NetworkEstimator) for part in estimator.get_params().values())


def _number_of_fits(X):
    """Return how many fits may wait for each other, by the free memory of the host."""
    try:
        size = 8 * math.prod(np.shape(X))
    except ValueError:  # lists of different lengths, for the first step of a pipeline
        size = 8 * sum(map(len, X))
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not on this system
        free = UNKNOWN
    return max(2, min(MOST_FITS, int(SHARE * free / (COPIES * size + 1))))
