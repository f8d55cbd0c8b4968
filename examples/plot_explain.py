"""
Explaining a model
==================

Which features does a model use, and how? This example asks a :class:`~skode.ODENetRegressor` in
four ways: by its exact gradient, by permutation importance, by partial dependence, and by Shapley
values.

The table is Friedman's first problem. A formula generates it, so that we can check the answers:
y = 10 sin(π x₀ x₁) + 20 (x₂ - ½)² + 10 x₃ + 5 x₄ plus noise. The other five features do nothing.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.inspection import PartialDependenceDisplay, permutation_importance
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import ODENetRegressor
from skode.inspection import input_gradients

try:
    import shap
except ImportError:  # the rest of the example works without it
    shap = None

X, y = make_friedman1(800, noise=1.0, random_state=0)
X, X_test, y, y_test = train_test_split(X, y, test_size=200, random_state=0)
names = [f"x{k}" for k in range(X.shape[1])]
model = make_pipeline(StandardScaler(), ODENetRegressor(random_state=0)).fit(X, y)
print(f"R² on new samples: {model.score(X_test, y_test):.3f}")

# %%
# Which features?
# ---------------
#
# **The gradient.** :func:`~skode.inspection.input_gradients` returns the derivative of each
# prediction with respect to each feature. It is exact, takes a single pass through the network, and
# is in the units of the table even though the pipeline scales the features. Its mean absolute
# value, times the spread of the feature, says how much a feature moves the prediction.

gradients = input_gradients(model, X_test)
importances = {"gradient · deviation": np.abs(gradients).mean(axis=0) * X_test.std(axis=0)}

# %%
# **Permutation importance** shuffles a feature and measures how much R² falls. It works with any
# model.

shuffled = permutation_importance(model, X_test, y_test, n_repeats=5, random_state=0)
importances["permutation importance"] = shuffled.importances_mean

# %%
# **Shapley values** divide the difference between a prediction and the mean prediction fairly among
# the features. The package `shap <https://shap.readthedocs.io>`_ computes them for any ``predict``.

if shap is not None:
    background = shap.maskers.Independent(X, max_samples=20)
    explainer = shap.explainers.Permutation(model.predict, background, seed=0)
    values = explainer(X_test[:50], max_evals=100, silent=True).values
    importances["mean |Shapley value|"] = np.abs(values).mean(axis=0)

# %%
# All agree on the five features that matter. The gradient also finds the direction: along x₂ it is
# negative on one side of ½ and positive on the other.

widths = [1] * len(importances) + [1.4]
figure, axes = plt.subplots(
    1, len(widths), figsize=(12, 3.8), layout="constrained", width_ratios=widths
)
colours = ["#0072B2"] * 5 + ["0.6"] * 5  # the features that matter, and the others
for ax, (title, values_of) in zip(axes, importances.items(), strict=False):
    ax.barh(names, values_of, color=colours)
    ax.invert_yaxis()
    ax.set_xlabel(title)
axes[0].set_ylabel("feature")
axes[-1].axhline(0, color="0.7", lw=1)
axes[-1].scatter(X_test[:, 2], gradients[:, 2], s=10, color="#0072B2", label="of the model")
x = np.array([0, 1])
axes[-1].plot(x, 40 * (x - 0.5), color="#D55E00", ls="--", label="of the formula")
axes[-1].set(xlabel="x2", ylabel="derivative with respect to x2")
axes[-1].legend(frameon=False)
plt.show()

# %%
# How?
# ----
#
# **Partial dependence** shows the mean prediction as a function of one feature, and of two. The
# formula can be read off: straight lines for x₃ and x₄, a parabola for x₂, and a sine of the
# product of x₀ and x₁.

figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
PartialDependenceDisplay.from_estimator(
    model,
    X[:200],
    [2, 3, 4, (0, 1)],
    feature_names=names,
    grid_resolution=12,
    ax=axes,
    line_kw={"color": "#0072B2"},
    contour_kw={"cmap": "cividis"},
)
plt.show()

# %%
# These are statements about the model. Where the model is wrong, so is the explanation. So look at
# the score on new samples first.
