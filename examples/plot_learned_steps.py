"""
Learned steps, and layers that can be dropped
=============================================

How many layers does a network need? With learned steps, training can answer. ``learn_step=True``
gives each layer a step of its own. ``learn_step="simplex"`` keeps the steps at zero or above, and
their sum fixed. Then some steps can become exactly zero, and a layer with the step zero does
nothing.
"""

import copy
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import ODENetClassifier
from skode.datasets import make_donut2d
from skode.plotting import StepSizeDisplay

# %%
# A setting that makes zeros
# --------------------------
#
# The setting is that of the paper that introduced these networks: steps of total length one, no
# penalty, gradient descent, and many iterations. With twenty layers there is more depth than the
# donut needs.

X, y = make_donut2d(500, random_state=0)
N = 20


def fit(learn_step):
    """Train a single network in the plane."""
    model = ODENetClassifier(
        N=N,
        h=1 / N,
        learn_step=learn_step,
        n_channels=2,
        lift="pad",
        activation="tanh",
        alpha=0.0,
        cv=None,
        solver="gd",
        line_search="lipschitz",
        max_iter=2000,
        tol=0.0,
        random_state=0,
    )
    # With tol=0 training takes all of its iterations.
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        return model.fit(X, y)


free, simplex = fit(True), fit("simplex")
figure, axes = plt.subplots(2, 1, figsize=(9, 5.6), sharex=True, layout="constrained")
StepSizeDisplay.from_estimator(free, ax=axes[0], name="learn_step=True")
StepSizeDisplay.from_estimator(simplex, ax=axes[1], name='learn_step="simplex"')
axes[0].set_xlabel("")
plt.show()

# %%
# Free steps may become negative: such a layer runs backwards in time. On the simplex, most steps
# end at exactly zero, the crosses, and a few layers share all of the time.
#
# Drop the layers
# ---------------
#
# A fitted network is a set of arrays, so its empty layers can be cut out. The predictions are the
# same, and take less time.

keep = simplex.h_[0] != 0
pruned = copy.deepcopy(simplex)
for name in ("K_", "b_", "h_"):
    setattr(pruned, name, getattr(simplex, name)[:, keep])
change = np.abs(pruned.predict_proba(X) - simplex.predict_proba(X)).max()
print(f"{keep.sum()} of {N} layers are left")
print(f"largest change of a probability: {change}")
print(f"training accuracy: {pruned.score(X, y):.3f}, with free steps {free.score(X, y):.3f}")

# %%
# What to expect elsewhere
# ------------------------
#
# At the defaults the simplex makes fewer zeros, or none. Samples are held out, and they end the
# training of a network before its steps have settled. A longer total time makes zeros rarer still:
# with ``h=0.5`` there are hardly any. Here are all networks of a default fit on a real table, with
# steps of total length one:

table = load_breast_cancer(return_X_y=True)
default = ODENetClassifier(N=10, h=0.1, learn_step="simplex", random_state=0)
pipeline = make_pipeline(StandardScaler(), default).fit(*table)
print(f"steps that are exactly zero: {np.mean(default.h_ == 0):.0%}")
print(f"accuracy on held-out folds: {default.oof_score_:.3f}")

# %%
# So use the simplex to learn how much depth a problem needs. To make a model smaller, it is simpler
# to ask for a smaller N.
