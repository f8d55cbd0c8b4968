"""Pickles of estimators, which record the version of skode."""

from __future__ import annotations

import warnings

from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning

from ._version import __version__

KEY = "_skode_version"


class InconsistentSkodeVersionWarning(InconsistentVersionWarning):
    """A pickled estimator was written by another version of skode.

    It is a subclass of the warning that scikit-learn uses for its estimators, so that a filter for
    that applies here too.

    Parameters
    ----------
    estimator_name : str
        The class of the estimator.
    written_by : str
        The version of skode that wrote the pickle.
    """

    def __init__(self, estimator_name, written_by):
        self.estimator_name, self.written_by = estimator_name, written_by

    def __str__(self):
        return (
            f"This {self.estimator_name} was pickled by skode {self.written_by}, and you have "
            f"skode {__version__}. It may fail, or give wrong results. Install skode "
            f"{self.written_by}, or fit the estimator again. Files of skode.save can be loaded by "
            "later versions."
        )


class Pickled(BaseEstimator):
    """The part of an estimator that handles pickles."""

    def __getstate__(self):
        return {**super().__getstate__(), KEY: __version__}

    def __setstate__(self, state):
        state = dict(state)
        written_by = state.pop(KEY, "of unknown version")
        if written_by != __version__:
            name = type(self).__name__
            warnings.warn(InconsistentSkodeVersionWarning(name, written_by), stacklevel=2)
        super().__setstate__(state)
