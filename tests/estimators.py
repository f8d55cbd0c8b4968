"""What the tests of the estimators share: small data and short fits."""

from sklearn.datasets import make_blobs
from sklearn.preprocessing import StandardScaler

from skode import FeedForwardClassifier, ODENetClassifier

BOTH = [ODENetClassifier, FeedForwardClassifier]


def blobs(n_classes=2, n_samples=60, n_features=3, seed=0):
    X, y = make_blobs(n_samples, n_features, centers=n_classes, random_state=seed)
    return StandardScaler().fit_transform(X), y


def short(cls, **parameters):
    return cls(**{"max_iter": 30, "random_state": 0, **parameters})
