"""ODE networks on a noisy table, in under a minute.

Cross-validates ODE networks and five other models on a generated table of 500 rows, half of whose
variation is noise. There the networks lead, most of all in log-loss, which judges probabilities.
Then searches a grid, and draws what the layers of an ODE network do to two spirals.

    python examples/quickstart.py
"""

import time
from pathlib import Path

import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_validate
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import FeedForwardClassifier, ODENetClassifier
from skode.datasets import make_spirals

FOLDS = StratifiedKFold(5, shuffle=True, random_state=0)
SCORES = {"accuracy": "accuracy", "log_loss": "neg_log_loss"}


def make_table():
    """Five features that matter, five that do not, and noise: is the target above its median?"""
    X, signal = make_friedman1(500, noise=0.0, random_state=0)
    target = signal + 3 * np.random.default_rng(0).normal(size=len(X))
    return X, (target > np.median(target)).astype(int)


def compare(X, y):
    """A table of accuracy, log-loss and fit time."""
    models = {
        "ODE network, Euler": ODENetClassifier(random_state=0),
        "ODE network, RK4": ODENetClassifier(scheme="rk4", random_state=0),
        "ODE network, learned steps": ODENetClassifier(learn_step=True, random_state=0),
        "feed-forward network": FeedForwardClassifier(random_state=0),
        "MLP, early stopping": MLPClassifier(early_stopping=True, max_iter=500, random_state=0),
        "gradient-boosted trees": HistGradientBoostingClassifier(random_state=0),
        "random forest": RandomForestClassifier(random_state=0),
        "logistic regression": LogisticRegression(),
    }
    print(f"{'five-fold cross-validation':28} {'accuracy':>14} {'log-loss':>15} {'fit time':>10}")
    for name, model in models.items():
        pipeline = make_pipeline(StandardScaler(), model)
        scores = cross_validate(pipeline, X, y, cv=FOLDS, scoring=SCORES, n_jobs=2)
        accuracy, loss = scores["test_accuracy"], -scores["test_log_loss"]
        print(
            f"{name:28} {accuracy.mean():6.3f} ± {accuracy.std():.3f} "
            f"{loss.mean():7.3f} ± {loss.std():.3f} {scores['fit_time'].mean():8.2f} s",
            flush=True,
        )


def search(X, y):
    """The best scheme and number of layers."""
    pipeline = make_pipeline(StandardScaler(), ODENetClassifier(random_state=0))
    grid = {
        "odenetclassifier__scheme": ["euler", "heun"],
        "odenetclassifier__N": [2, 4],
    }
    result = GridSearchCV(pipeline, grid, scoring="neg_log_loss", cv=3, n_jobs=2).fit(X, y)
    best = {key.split("__")[1]: value for key, value in result.best_params_.items()}
    print(f"\nGridSearchCV, three folds: log-loss {-result.best_score_:.3f} with {best}")


def draw(path):
    """The flow of the spirals through an ODE network, saved to `path`."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import LinearSegmentedColormap
    from sklearn.inspection import DecisionBoundaryDisplay

    from skode.plotting import TrajectoryDisplay

    X, y = make_spirals(300, random_state=0)
    # One network in the plane that changes little from layer to layer: a flow to look at.
    model = ODENetClassifier(
        "heun",
        N=12,
        h=0.25,
        n_channels=2,
        lift="pad",
        activation="tanh",
        alpha=1e-4,
        smoothness=1e-3,
        cv=None,
        max_iter=500,
        random_state=0,
    ).fit(X, y)

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
    name = "Their flow to where a line separates them"
    display = TrajectoryDisplay.from_estimator(model, X, y, ax=right, name=name)

    blue, orange = (points.get_facecolor()[0] for points in display.points_)
    shades = LinearSegmentedColormap.from_list("classes", [blue, "white", orange])
    DecisionBoundaryDisplay.from_estimator(
        model,
        X,
        response_method="predict_proba",
        grid_resolution=200,
        eps=0.3,
        ax=left,
        cmap=shades,
        alpha=0.4,
    )
    for k, (colour, marker) in enumerate([(blue, "o"), (orange, "s")]):
        left.scatter(*X[y == k].T, color=colour, marker=marker, s=16, ec="white", lw=0.4)
    left.set(xlabel="feature 1", ylabel="feature 2", aspect="equal")
    left.set_title("Features and class probability", loc="left", fontsize="medium")
    figure.savefig(path, dpi=150)
    print(f"\nFigure: {path} (training accuracy {model.score(X, y):.3f})")


def main():
    start = time.perf_counter()
    X, y = make_table()
    ODENetClassifier(random_state=0).fit(X, y)
    print(f"first fit, which compiles once per machine: {time.perf_counter() - start:.1f} s\n")
    compare(X, y)
    search(X, y)
    draw(Path("skode-spirals.png").resolve())
    print(f"{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
