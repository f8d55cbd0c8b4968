"""A model that is drawn."""

import numpy as np
from sklearn.datasets import make_blobs

from skode import ODENetClassifier
from tests.estimators import short


def fitted(n_features=2, n_classes=2, **parameters):
    X, y = make_blobs(50, n_features, centers=n_classes, random_state=0)
    X /= X.std()
    labels = np.array(["a", "b", "c", "d", "e"])[y]
    options = {"n_channels": n_features, "max_iter": 20, "learn_step": True, **parameters}
    return short(ODENetClassifier, **options).fit(X, labels), X, labels
