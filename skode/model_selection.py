"""Searches and cross-validation that train the networks of many fits in one batch."""

from __future__ import annotations
from sklearn import model_selection as original
from ._gathering import gathered_fits


class GridSearchCV(original.GridSearchCV):
    def fit(self, X, y=None, **params):
        with gathered_fits(self.n_jobs):
            return super().fit(X, y, **params)
