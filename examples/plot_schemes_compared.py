"""
Schemes compared by cross-validation
====================================

`scheme` chooses how a layer follows the differential equation. Does it matter for a table? This
example compares five schemes by five-fold cross-validation: accuracy, log-loss, and the time that a
fit takes.

Do not expect much. All schemes train the same kind of network, and the weights adapt to the scheme.
What differs is how closely the network follows a differential equation.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import ODENetClassifier
from skode.inspection import step_doubling_gap

X, y = load_breast_cancer(return_X_y=True)
SCHEMES = ("euler", "heun", "rk4", "implicit_midpoint", "gauss4")
FOLDS = StratifiedKFold(5, shuffle=True, random_state=0)


def network(scheme):
    """Return a network of moderate width, so that the implicit schemes are quick enough here."""
    model = ODENetClassifier(scheme, n_channels=16, features="given", cv=4, random_state=0)
    return make_pipeline(StandardScaler(), model)


for scheme in ("euler", "gauss4"):  # the first fits compile, which is not to be timed
    network(scheme).fit(X[:100], y[:100])

# %%
# Accuracy and time
# -----------------
#
# Each scheme has the same folds and the same starting weights.

scores = {
    scheme: cross_validate(
        network(scheme), X, y, cv=FOLDS, scoring=("accuracy", "neg_log_loss"), return_estimator=True
    )
    for scheme in SCHEMES
}

# %%
# Is it a differential equation?
# ------------------------------
#
# :func:`~skode.inspection.step_doubling_gap` takes each step again as two steps of half the length,
# with the same weights. If the network follows a differential equation, the probabilities hardly
# change. If they do change, its layers only look like steps.


def gap(found):
    """Return the mean change of the probabilities, fold by fold, on the samples held out."""
    pairs = zip(found["estimator"], FOLDS.split(X, y), strict=True)
    return np.array([step_doubling_gap(model, X[test]).mean_gap for model, (_, test) in pairs])


measures = {
    "accuracy": {s: found["test_accuracy"] for s, found in scores.items()},
    "log-loss": {s: -found["test_neg_log_loss"] for s, found in scores.items()},
    "fit time in seconds": {s: found["fit_time"] for s, found in scores.items()},
    "step-doubling gap": {s: gap(found) for s, found in scores.items()},
}
FORMATS = ("13.3f", "13.3f", "23.1f", "21.1e")
print(" " * 18 + "".join(f"{name:>{f[:2]}}" for name, f in zip(measures, FORMATS, strict=True)))
for scheme in SCHEMES:
    means = [values[scheme].mean() for values in measures.values()]
    line = [f"{mean:{f}}" for mean, f in zip(means, FORMATS, strict=True)]
    print(f"{scheme:18}" + "".join(line))

# %%
# Accuracy and log-loss agree within their standard errors, the bars. The time grows with the number
# of stages, and more with implicit schemes, which solve equations in each layer. The gap falls with
# the order of the scheme: "gauss4" and "rk4" have order four, "euler" has order one.

figure, axes = plt.subplots(1, 4, figsize=(11, 3.4), sharey=True, layout="constrained")
for ax, (name, values) in zip(axes, measures.items(), strict=True):
    for row, scheme in enumerate(reversed(SCHEMES)):
        mean, error = values[scheme].mean(), values[scheme].std() / np.sqrt(len(values[scheme]))
        implicit = scheme in ("implicit_midpoint", "gauss4")
        style = {"color": "#D55E00" if implicit else "#0072B2", "fmt": "s" if implicit else "o"}
        ax.errorbar(mean, row, xerr=error, ms=7, capsize=4, **style)
    ax.set(xlabel=name, xscale="log" if "gap" in name else "linear")
    ax.grid(axis="x", color="0.9")
axes[0].set_yticks(range(len(SCHEMES)), reversed(SCHEMES))
axes[0].set_ylim(-0.5, len(SCHEMES) - 0.5)
figure.suptitle("Explicit schemes (circles) and implicit ones (squares): mean and standard error")
plt.show()

# %%
# So for a table, keep ``scheme="euler"``: it is the fastest. Take a scheme of higher order if the
# flow itself has a meaning for you, for example if you want to draw it, run it backwards, or read
# the network between its layers.
