"""Which predictions cannot be changed by small changes of the features."""

from __future__ import annotations

import math

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_consistent_length

from .._devices import host_values
from ..engine import prediction
from ..engine.arrays import quiet
from ..inspection._pipelines import network_and_features
from ._lipschitz import lift_bound, states_bound
from ._margins import keep_their_class, margins_by_enclosure, margins_by_lipschitz
from ._norms import checked_eps, checked_norm
from ._unrolled import unrolled

METHODS = ("auto", "lipschitz", "linear", "interval")
DOUBLINGS = 60
HALVINGS = {"lipschitz": 40, "linear": 12, "interval": 12}


def certified_accuracy(estimator, X, y, eps, *, norm=2, method="auto"):
    """Return the share of samples that are classified correctly however they are perturbed.

    A sample counts if it is classified correctly, and if it is proved that every change of its
    features of norm at most `eps` leaves the prediction as it is. So the accuracy under any attack
    with such changes is at least this number.

    Parameters
    ----------
    estimator : ODENetClassifier, FeedForwardClassifier or Pipeline
        A fitted classifier, or a fitted pipeline that ends in one. The steps before it have to be
        affine, see `lipschitz_bound`.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples.
    y : array-like of shape (n_samples,)
        Their classes.
    eps : float or array-like
        The size of the perturbations, in the units of X, or several sizes.
    norm : {2, "inf"}, default=2
        The norm of the perturbations: Euclidean, or the largest change of a feature. Give attacks
        the same norm; their default is "inf".
    method : {"auto", "lipschitz", "linear", "interval"}, default="auto"
        How it is proved:

        - "lipschitz": by `lipschitz_bound` of the networks, for all samples at once. Fast.
        - "linear": by lines above and below every activation near the sample. The time grows with
          the square of the depth. Not for implicit schemes.
        - "interval": by intervals of every state near the sample. Fast, but only useful for very
          small `eps`. Not for implicit schemes.
        - "auto": a sample counts if one of these succeeds.

    Returns
    -------
    float or ndarray of the shape of eps
        The share for each `eps`. For ``eps=0`` it is the accuracy.

    Raises
    ------
    NotFittedError
        If the estimator has not been fitted.
    TypeError
        If the estimator is no classifier of skode, if a step of the pipeline is not affine, or if
        `eps` is not numeric.
    ValueError
        If `eps` is negative or not finite, `norm` or `method` unknown, if "linear" or "interval" is
        asked for with an implicit scheme, if `y` has labels that are not classes of the estimator
        or another length than X, if samples have several labels each, or if X cannot be predicted.

    See Also
    --------
    certified_radius : How far each sample can be moved.
    lipschitz_bound : The bound that "lipschitz" uses.

    Notes
    -----
    The certificate is for the averaged model, whose probabilities are the weighted mean of the
    networks' probabilities. It does not depend on how an attack works. It can be pessimistic: a
    sample that is not certified need not be vulnerable. "linear" may even fail for an `eps` that is
    slightly smaller than one for which it succeeds. Of several `eps`, what is certified for one
    counts for all smaller ones.

    The proofs are in the documentation, "Proofs of the certificates". They hold in exact
    arithmetic for the fitted weights. Bounds are computed in float64 and widened by more than their
    rounding errors: norms by a factor, and linear bounds by 1e-10 times the sizes of all their
    terms.

    References
    ----------
    Zhang, Weng, Chen, Hsieh, Daniel, "Efficient neural network robustness certification with
    general activation functions" (2018), for "linear".

    Gowal et al., "On the effectiveness of interval bound propagation for training verifiably robust
    models" (2018), for "interval".

    Tsuzuku, Sato, Sugiyama, "Lipschitz-margin training" (2018), for "lipschitz".

    Examples
    --------
    >>> from skode import ODENetClassifier
    >>> from skode.datasets import make_spirals
    >>> from skode.robustness import certified_accuracy
    >>> X, y = make_spirals(100, random_state=0)
    >>> model = ODENetClassifier(N=5, n_channels=4, cv=None, random_state=0).fit(X, y)
    >>> accuracies = certified_accuracy(model, X, y, [0, 0.01, 0.02])
    >>> bool(accuracies[0] == model.score(X, y) >= accuracies[1] >= accuracies[2])
    True
    """
    sizes = checked_eps(eps)
    if y is None:
        raise ValueError("y must hold the classes of the samples; got None.")
    problem = _Problem(estimator, X, y, norm, method, "certified_accuracy")
    unique, places = np.unique(sizes, return_inverse=True)
    shares = np.empty(len(unique))
    # What is certified for a larger ball is certified for a smaller one.
    certified = np.zeros(problem.n_samples, dtype=bool)
    for k in range(len(unique))[::-1]:
        rest = np.flatnonzero(problem.correct & ~certified)
        certified[rest] = problem.certified(np.full(len(rest), unique[k]), rest)
        shares[k] = certified.mean()
    share = shares[places].reshape(sizes.shape)
    return float(share) if sizes.ndim == 0 else share


def certified_radius(estimator, X, y=None, *, norm=2, method="lipschitz"):
    """Return how far each sample can be moved for certain without changing its prediction.

    Parameters
    ----------
    estimator, X, norm
        As for `certified_accuracy`.
    y : array-like of shape (n_samples,), default=None
        Classes. Samples that are not classified as they say have the radius 0. None means the
        predicted classes.
    method : {"lipschitz", "linear", "interval", "auto"}, default="lipschitz"
        As for `certified_accuracy`. All but "lipschitz" take about fifteen times as long as there.

    Returns
    -------
    ndarray of shape (n_samples,)
        The radii, in the units of X; 0 where nothing could be shown, and infinite where the model
        predicts the same everywhere.

    Raises
    ------
    NotFittedError, TypeError, ValueError
        As `certified_accuracy`.

    See Also
    --------
    certified_accuracy : The share of samples with at least a given radius.

    Notes
    -----
    The radius is found by bisection. With "lipschitz" it is the margin of the sample divided by a
    Lipschitz bound, if the model has one network.

    Examples
    --------
    >>> from skode import ODENetClassifier
    >>> from skode.datasets import make_spirals
    >>> from skode.robustness import certified_radius
    >>> X, y = make_spirals(100, random_state=0)
    >>> model = ODENetClassifier(N=5, n_channels=4, cv=None, random_state=0).fit(X, y)
    >>> radii = certified_radius(model, X)
    >>> radii.shape, bool((radii >= 0).all())
    ((100,), True)
    """
    problem = _Problem(estimator, X, y, norm, method, "certified_radius")
    if problem.constant:
        return np.where(problem.correct, np.inf, 0.0)
    # One bisection of the exponent, and one of the interval that this leaves.
    near, far = np.zeros(problem.n_samples), np.full(problem.n_samples, np.inf)
    rest = np.flatnonzero(problem.correct)
    radius = np.full(len(rest), problem.first_radius)
    for _ in range(DOUBLINGS):
        if not len(rest):
            break
        shown = problem.certified(radius, rest)
        near[rest[shown]], far[rest[~shown]] = radius[shown], radius[~shown]
        known = np.where(shown, np.isfinite(far[rest]), near[rest] > 0)
        radius = np.where(shown, 2 * radius, radius / 2)
        rest, radius = rest[~known], radius[~known]
    for _ in range(max(HALVINGS[name] for name in problem.methods)):
        rest = np.flatnonzero((near > 0) & np.isfinite(far))
        middle = (near[rest] + far[rest]) / 2
        shown = problem.certified(middle, rest)
        near[rest[shown]], far[rest[~shown]] = middle[shown], middle[~shown]
    return near


class _Problem:
    """A classifier at samples, and what is to be shown about it."""

    def __init__(self, estimator, X, y, norm, method, name):
        self._norm = 2 if checked_norm(norm) == 2 else "inf"
        if method not in METHODS:
            raise ValueError(
                f"method must be one of {', '.join(map(repr, METHODS))}; got {method!r}."
            )
        network, self._net = unrolled(estimator)
        if not is_classifier(network):
            raise TypeError(f"{name} is for classifiers; got {network!r}.")
        if network._multilabel:
            raise ValueError(
                f"{name} is for one class per sample, but the classifier was fitted to several "
                "labels."
            )
        self.methods = self._checked_methods(method)
        fitted, X_in = network_and_features(estimator, X)
        with quiet():
            said = fitted._outputs(X_in, name)
        self.codes = np.asarray(fitted._kind.most_likely(said))
        self.n_samples = len(self.codes)
        self.correct = np.ones(self.n_samples, dtype=bool)
        if y is not None:
            y = host_values(y)
            check_consistent_length(self.codes, y)
            self.correct = fitted._kind.codes(y) == self.codes
        self.constant = fitted._kind.n_rows == 1
        if self.constant:
            return
        self._separate = network._fitted_loss["name"] == "logistic_squared" and (
            fitted._kind.n_rows > 2
        )
        X = network._validated(X_in, name)
        self._rows = X
        with quiet():
            z = prediction.outputs(
                network._fitted_network(), network._controls(), network.feature_map_.of(X)
            )
        z = np.swapaxes(z, 1, 2)
        self._z = z if z.shape[2] > 1 else np.concatenate([0 * z, z], axis=2)
        self._states_bounds = None

    def _checked_methods(self, method):
        """What is tried, the fastest first."""
        explicit = self._net.tableau.explicit
        if method in ("linear", "interval") and not explicit:
            raise ValueError(
                f"method={method!r} is for explicit schemes, but the scheme is "
                f"{self._net.tableau.name!r}, whose stages solve equations. Use "
                "method='lipschitz'."
            )
        if method != "auto":
            return (method,)
        return METHODS[1:] if explicit else ("lipschitz",)

    @property
    def first_radius(self):
        """Where a search for radii begins: what changes states by about one."""
        return 1 / max(float(np.max(lift_bound(self._net))), 1e-6)

    def certified(self, eps, samples):
        """Whether it is shown that samples keep their class on balls of radii eps."""
        done = (eps == 0) | self.constant
        for method in self.methods:
            rest = np.flatnonzero(~done)
            if not len(rest):
                break
            margins = self._margins(method, eps[rest], samples[rest])
            done[rest] = keep_their_class(self._net, margins, self.codes[samples[rest]])
        return done

    def _margins(self, method, eps, samples):
        codes, net = self.codes[samples], self._net
        if method == "lipschitz":
            if self._states_bounds is None:
                self._states_bounds = states_bound(net, "auto")
            if self._norm == "inf":  # a cube lies in a ball of this radius
                eps = eps * math.sqrt(self._n_features) * (1 + 1e-10)
            z = self._z[:, samples]
            return margins_by_lipschitz(net, self._states_bounds, z, codes, eps, self._separate)
        x, u = self._centres(samples)
        return margins_by_enclosure(net, method, x, u, codes, eps, self._norm, self._separate)

    @property
    def _n_features(self):
        """The number of features before the pipeline."""
        return self._net.through_pipeline(np.zeros((1, self._rows.shape[1]))).shape[1]

    def _centres(self, samples):
        x = self._net.dense(self._rows[samples, :])
        return x, self._net.inputs(x)
