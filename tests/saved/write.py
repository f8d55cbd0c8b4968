"""Write models in the current format, which later versions have to load; run once per format.

python -m tests.saved.write
"""

import io
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold

import skode
from skode._saving.models import FORMAT
from tests.estimators import blobs, curve, short

FOLDER = Path(__file__).parent
SMALL = {"N": 1, "n_channels": 3, "max_iter": 3}


def models():
    """Yield names, fitted estimators, and samples for prediction."""
    X, y = blobs(3, n_samples=30)
    dates = np.array(["2024-02-29", "2025-02-28", "2026-02-28"], dtype="datetime64[D]")
    yield (
        "names",
        short(
            skode.ODENetClassifier,
            **SMALL,
            scheme="implicit_midpoint",
            activation="softplus",
            lift="nonlinear",
            features="both",
            cv=2,
            alpha=(0.01, 0.1),
            class_weight={"x": 2.0},
        ).fit(pd.DataFrame(X, columns=["α", "b", "c"]), np.array(["x", "y", "z"], object)[y]),
        pd.DataFrame(X[:4], columns=["α", "b", "c"]),
    )
    yield (
        "tableau",
        short(
            skode.ODENetClassifier,
            **SMALL,
            scheme=skode.ButcherTableau([[0, 0], [2 / 3, 0]], [1 / 4, 3 / 4], [0, 2 / 3], "mine"),
            loss="squared_error",
        ).fit(X.astype(np.float32), y == 1),
        X[:4].astype(np.float32),
    )
    yield (
        "hamiltonian",
        short(
            skode.ODENetRegressor,
            **SMALL | {"n_channels": 4},
            scheme="stormer_verlet",
            vector_field="hamiltonian",
        ).fit(X, X[:, 0]),
        X[:4],
    )
    stream = short(skode.ODENetClassifier, **SMALL, solver="adam", lift="nonlinear")
    stream.partial_fit(X, np.stack([y == 0, y > 0], axis=1).astype(int))
    yield "stream", stream, X[:4]
    yield (
        "dates",
        short(skode.FeedForwardClassifier, **SMALL, constraint="sphere").fit(X, dates[y]),
        X[:4],
    )
    X, y = curve(30, n_targets=2)
    yield (
        "targets",
        short(
            skode.ODENetRegressor,
            **{**SMALL, "N": 2},
            learn_step="simplex",
            lift="linear",
            loss="quantile",
            quantile=0.3,
            cv=KFold(2, shuffle=True, random_state=0),
        ).fit(X, y),
        X[:4],
    )
    yield (
        "counts",
        short(
            skode.FeedForwardRegressor,
            **SMALL,
            lift="nonlinear",
            features="piecewise",
            loss="poisson",
        ).fit(X, np.round(np.exp(y[:, 0]))),
        X[:4],
    )


def prediction(model, X):
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


def write(path):
    with zipfile.ZipFile(path, "x", zipfile.ZIP_DEFLATED) as archive:
        for name, model, X in models():
            file, expected = io.BytesIO(), io.BytesIO()
            skode.save(model, file)
            np.savez(expected, X=np.asarray(X), prediction=prediction(model, X))
            archive.writestr(f"{name}.model.npz", file.getvalue())
            archive.writestr(f"{name}.expected.npz", expected.getvalue())


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    write(FOLDER / f"format_{FORMAT}.zip")
