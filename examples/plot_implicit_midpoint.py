"""
Implicit midpoint beside a residual network
===========================================

Figure 2 of a paper [1]_ compares two networks on four toy problems: the residual network, whose
layers are steps of Euler's scheme, and a network whose layers are steps of the implicit midpoint
rule. This example repeats it with :class:`~skode.ODENetClassifier`. Its function ``compare`` takes
any two features and two classes, so you can draw the same picture of your own data.

When this page is built, each network has a single random start and 1500 iterations. As a script the
example does the whole experiment: five starts, 5000 iterations, and both values of `stage_guard`.
That takes some minutes::

    python plot_implicit_midpoint.py
    python plot_implicit_midpoint.py --quick    # as on this page

.. [1] M. Benning, E. Celledoni, M. J. Ehrhardt, B. Owren, C.-B. Schönlieb, "Deep learning as
   optimal control problems", IFAC-PapersOnLine 54 (2021).
"""

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from sklearn.exceptions import ConvergenceWarning
from sklearn.inspection import DecisionBoundaryDisplay

from skode import ODENetClassifier
from skode.datasets import make_donut1d, make_donut2d, make_spirals, make_squares
from skode.plotting import TrajectoryDisplay

parser = argparse.ArgumentParser()
parser.add_argument("--quick", action="store_true", help="one start and 1500 iterations")
quick = parser.parse_known_args()[0].quick

# %%
# The network
# -----------
#
# The settings are those of the paper. The two features are the two channels, without a lift. There
# are five layers with the step 0.1. The loss is the squared error of the logistic output, without a
# penalty, and the solver is gradient descent with backtracking. No samples are held out. (The
# paper's loss is a sum over the samples and skode's a mean, so the steps of the solver are longer
# here. That is why the line search is "lipschitz": "armijo" tries no steps longer than 10.)
#
# One setting is not a parameter. The paper draws K, b, W from N(0, 1) and μ from U(0, 1), while
# `fit` draws other starting weights. A fit with ``warm_start=True`` goes on from the fitted arrays,
# whatever they are. So the function makes one iteration, replaces the arrays, and goes on.


def fit(X, y, scheme, stage_guard="bound", max_iter=5000, seed=0):
    """Train a network as in the paper."""
    n_features, N = X.shape[1], 5
    model = ODENetClassifier(
        scheme,
        N=N,
        h=0.1,
        n_channels=n_features,
        lift="pad",
        activation="tanh",
        loss="squared_error",
        alpha=0.0,
        cv=None,
        solver="gd",
        line_search="lipschitz",
        max_iter=1,
        tol=0.0,
        warm_start=True,
        random_state=seed,
    )
    if scheme != "euler":  # its stages are explicit and need no guard
        model.set_params(stage_guard=stage_guard)
    # There is no test of convergence: training takes the given number of iterations.
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        model.fit(X, y)
        rng = np.random.default_rng(seed)
        model.K_, model.b_ = rng.normal(size=model.K_.shape), rng.normal(size=model.b_.shape)
        model.W_, model.mu_ = rng.normal(size=model.W_.shape), rng.uniform(size=model.mu_.shape)
        return model.set_params(max_iter=max_iter).fit(X, y)


# %%
# The picture
# -----------
#
# The upper half of a picture shows the classes in the plane of the features. The lower half shows
# the flow: each sample starts at a small dot and moves to its marker, and a straight line separates
# the classes where the flow ends.


def draw(model, X, y, on_features, on_flow):
    """Draw the decision in the plane of the features, and the flow of the samples."""
    display = TrajectoryDisplay.from_estimator(
        model,
        X,
        y,
        subsample=250,
        ax=on_flow,
        legend=False,
        name="",
        arrows=5,
        scatter_kw={"s": 9, "linewidth": 0.2},
        wrong_kw={"s": 9, "linewidth": 0.7, "label": "wrong"},
        arrow_kw={"mutation_scale": 8},
    )
    middle, reach = (X.max(axis=0) + X.min(axis=0)) / 2, 0.55 * np.ptp(X, axis=0).max()
    DecisionBoundaryDisplay.from_estimator(
        model,
        np.array([middle - reach, middle + reach]),  # the corners of a square
        response_method="predict",
        grid_resolution=300,
        eps=0.0,
        ax=on_features,
        cmap=ListedColormap(display.surface_.get_facecolor()),
    )
    for k, points in enumerate(display.points_):
        few = X[y == model.classes_[k]][:125]
        style = {"marker": "os"[k], "color": points.get_facecolor()[0], "s": 9}
        on_features.scatter(*few.T, ec="white", lw=0.2, **style)
    on_features.set(xlabel="feature 1", ylabel="feature 2", aspect="equal")
    return [*display.points_, *filter(None, [display.wrong_])]


def compare(X, y, axes, title, **options):
    """Draw both networks on four axes."""
    X, y = np.asarray(X), np.asarray(y)
    networks = {"ResNet": "euler", "implicit midpoint": "implicit_midpoint"}
    for k, (name, scheme) in enumerate(networks.items()):
        model = fit(X, y, scheme, **options)
        handles = draw(model, X, y, *axes[2 * k : 2 * k + 2])
        axes[2 * k].set_title(f"{title}\n{name}, J = {model.loss_[0] * len(X):.1f}")
        axes[2 * k + 1].set_title(f"{name}: flow")
    return handles


# %%
# For your own data, copy the code above, from the first import to ``compare``. Take two features
# and two classes, scale the features, and draw on four axes::
#
#     from sklearn.preprocessing import StandardScaler
#
#     X = StandardScaler().fit_transform(table[["length", "width"]])
#     y = table["species"]
#     figure, axes = plt.subplots(4, figsize=(3, 10), layout="constrained")
#     compare(X, y, axes, "my data")
#
# Here are the four problems of the paper. J is half the sum of the squared errors of 1000 samples.

PROBLEMS = {
    "donut1d": make_donut1d,
    "donut2d": make_donut2d,
    "spirals": make_spirals,
    "squares": make_squares,
}
plt.rcParams.update({"font.size": 8, "axes.titlesize": 8.5})
figure, axes = plt.subplots(4, 4, figsize=(10, 10.6), layout="constrained")
for column, (problem, make) in zip(axes.T, PROBLEMS.items(), strict=True):
    X, y = make(1000, random_state=0)
    handles = compare(X, y, column, problem, max_iter=1500 if quick else 5000)
figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), title="class")
if not quick:
    figure.savefig("skode-implicit-midpoint.png", dpi=150)
plt.show()

# %%
# What to see
# -----------
#
# On the donuts the two networks do about equally well. On the spirals and the squares the residual
# network reaches a lower objective. One reason can be seen in the flow. A step of Euler's scheme
# with a large K can fold the plane, which helps a network with five layers in two dimensions. The
# midpoint rule stays closer to a flow, and a flow cannot fold.
#
# Training pushes (h/2) ‖K‖₂ beyond one, where the equation of a layer may have no solution. There
# are two ways to avoid this. With ``stage_guard="bound"``, K is kept where there is exactly one
# solution. With ``"reject"``, K is free, and a training step is rejected if a solution is
# missing. Run as a script, this example compares both, and tests each network on fresh samples.


def report(problem, name, models):
    """Print one line about the models from several starts."""
    J = np.array([1000 * model.loss_[0] for model in models])
    fresh = [PROBLEMS[problem](1000, random_state=1 + seed) for seed in range(len(models))]
    test = np.array([m.score(*sample) for m, sample in zip(models, fresh, strict=True)])
    size = [0.05 * np.linalg.norm(m.K_, ord=2, axis=(2, 3)).max() for m in models]
    evaluations = sum(m.n_evaluations_[0] for m in models) / sum(
        m.network_n_iter_[0] for m in models
    )
    falls = all(np.nanmax(np.diff(m.loss_curve_[:, 0])) <= 0 for m in models)
    print(
        f"{problem:8} {name:16} J {J.mean():6.2f} ({J.min():6.2f} … {J.max():6.2f})  "
        f"test {test.mean():.3f} ({test.min():.3f} … {test.max():.3f})  "
        f"(h/2)‖K‖₂ {min(size):.2f} … {max(size):.2f}  "
        f"evaluations per iteration {evaluations:.2f}  "
        f"iterations {min(m.network_n_iter_[0] for m in models)}  "
        f"J falls {'always' if falls else 'NOT ALWAYS'}  "
        f"ended by {', '.join(sorted({m.stop_reason_[0] for m in models}))}",
        flush=True,
    )


if not quick:
    networks = {
        "ResNet": ("euler", "bound"),
        "midpoint, reject": ("implicit_midpoint", "reject"),
        "midpoint, bound": ("implicit_midpoint", "bound"),
    }
    for problem, make in PROBLEMS.items():
        X, y = make(1000, random_state=0)
        for name, (scheme, guard) in networks.items():
            report(problem, name, [fit(X, y, scheme, guard, seed=seed) for seed in range(5)])

# %%
# The results of the whole experiment are in the user guide: see :doc:`/user_guide/schemes`.
