"""Adversarial examples, and the accuracy that is left under attack."""

from __future__ import annotations

from functools import partial
from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state

from ._art import imported
from ._classifier import AttackedClassifier
from ._grid import grid_attack, unit_grid
from ._norms import checked_box, checked_eps, checked_norm, into_ball

OF_ART = ("fgsm", "pgd", "autoattack", "deepfool", "carlini", "hopskipjump")
OF_EUCLID = ("deepfool", "carlini")  # look for what is nearest in the 2-norm
NEAREST = (*OF_EUCLID, "hopskipjump")  # one run serves all radii


def robust_accuracy(
    estimator,
    X,
    y,
    eps,
    norm="inf",
    attack="pgd",
    *,
    clip_values=None,
    attack_params=None,
    n_points=51,
    random_state=None,
):
    """Compute the fraction of samples that stay correctly classified under attack.

    The attack may move each sample by at most `eps`. A sample counts if it is classified correctly
    as it is, and the attack has found no point in its ball that is misclassified. So the result is
    an upper bound of the true robust accuracy: a stronger attack may find more.

    Parameters
    ----------
    estimator : classifier of skode or Pipeline
        A fitted classifier, or a fitted pipeline that ends in one. The steps before it may be those
        that `skode.inspection.input_gradients` accepts; for attacks without gradients, any.
    X : array-like of shape (n_samples, n_features)
        Samples, as the estimator is given them. They must be numbers.
    y : array-like of shape (n_samples,)
        Their classes.
    eps : float or array-like
        Radius of the balls, in the units of X, or several radii.
    norm : {"inf", 2}, default="inf"
        The norm of the balls: "inf" lets every feature change by up to `eps`, 2 is the Euclidean
        distance. Give `certified_accuracy` the same norm; its default is 2.
    attack : str, ART attack or callable, default="pgd"
        How points are looked for:

        - "fgsm": one step along the gradient [1]_. Fast and weak.
        - "pgd": projected gradient ascent of the loss [2]_, 40 steps from each of two random points
          of the ball.
        - "autoattack": APGD with two losses and then DeepFool [3]_, each on the samples that are
          left. Strong and slow. The fourth attack of the paper, Square, is for images.
        - "deepfool" [4]_ and "carlini" [5]_, which look for the nearest example in the 2-norm.
        - "hopskipjump": sees the predicted classes only, no gradients [6]_.
        - "grid": tries every point of a fine grid in the ball and on its border. For two features
          only; the ground truth, up to the resolution of the grid.

        All but "grid" need the Adversarial Robustness Toolbox (ART). An attack object of ART is run
        once, with its own parameters, and its examples are pulled back into each ball. A callable
        ``attack(estimator, X, y, eps)`` is given those samples that are still classified correctly,
        and returns them moved.
    clip_values : tuple of two floats or arrays of shape (n_features,), default=None
        The least and the largest value of the features, which attacks keep to.
    attack_params : dict, default=None
        Further parameters of the attack's class in ART, such as ``{"max_iter": 100}``. For
        "autoattack", those of its two APGD attacks. No effect on "grid", on attack objects and on
        callables.
    n_points : int, default=51
        Number of points of the grid along a diameter of the ball.
    random_state : int, RandomState instance or None, default=None
        Seed of the attack. An int makes the result reproducible.

    Returns
    -------
    float or ndarray of the shape of eps
        Fraction of the samples. For several radii, a point found in a smaller ball counts in the
        larger ones also, so that the result does not increase with eps. For 0, it is the accuracy.

    Raises
    ------
    ImportError
        If the attack needs ART, and that is not installed.
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If the estimator is not a classifier of skode, or has been fitted to several labels; if
        `eps` is not numeric or `attack_params` is not a dict; or if the pipeline has a step without
        a chain rule.
    ValueError
        If `eps` is negative or not finite; if `norm`, `attack` or another option is not as
        described; if y has labels that were not seen in `fit`, or another length than X; or if X
        has other features than in `fit`, or other than two with ``attack="grid"``.

    See Also
    --------
    adversarial_examples : The points themselves.
    RobustnessDisplay : A picture of the accuracy against `eps`.

    Notes
    -----
    Samples that are already misclassified, in their own place or in a smaller ball, are not
    attacked. The attacks of ART draw from NumPy's global random generator. It is seeded from
    `random_state`, and left as it was; do not run two attacks in two threads.

    ART computes points in float32. They are pulled back into the ball, and predicted, in double
    precision.

    References
    ----------
    .. [1] I. Goodfellow, J. Shlens, C. Szegedy, "Explaining and harnessing adversarial examples"
       (ICLR 2015).
    .. [2] A. Madry, A. Makelov, L. Schmidt, D. Tsipras, A. Vladu, "Towards deep learning models
       resistant to adversarial attacks" (ICLR 2018).
    .. [3] F. Croce, M. Hein, "Reliable evaluation of adversarial robustness with an ensemble of
       diverse parameter-free attacks" (ICML 2020).
    .. [4] S.-M. Moosavi-Dezfooli, A. Fawzi, P. Frossard, "DeepFool: a simple and accurate method to
       fool deep neural networks" (CVPR 2016).
    .. [5] N. Carlini, D. Wagner, "Towards evaluating the robustness of neural networks" (IEEE S&P
       2017).
    .. [6] J. Chen, M. I. Jordan, M. J. Wainwright, "HopSkipJumpAttack: a query-efficient
       decision-based attack" (IEEE S&P 2020).

    Examples
    --------
    >>> from skode import ODENetClassifier
    >>> from skode.datasets import make_spirals
    >>> from skode.robustness import robust_accuracy
    >>> X, y = make_spirals(200, random_state=0)
    >>> model = ODENetClassifier(random_state=0).fit(X, y)
    >>> model.score(X, y)
    1.0
    >>> accuracy = robust_accuracy(model, X, y, [0.0, 0.05, 0.1], attack="grid", n_points=21)
    >>> accuracy.shape
    (3,)
    >>> bool(accuracy[0] == 1 and accuracy[1] > accuracy[2])
    True
    """
    radii = checked_eps(eps)
    attacker = _Attacker(
        estimator, X, y, norm, attack, clip_values, attack_params, n_points, random_state
    )
    unique, places = np.unique(radii, return_inverse=True)
    standing = np.ones(len(attacker.X), dtype=bool)
    found = np.empty(len(unique))
    for k, radius in enumerate(unique):
        _, fooled = attacker.run(radius, np.flatnonzero(standing), unique[-1])
        standing[fooled] = False
        found[k] = standing.mean()
    accuracy = found[places].reshape(radii.shape)
    return float(accuracy) if radii.ndim == 0 else accuracy


def adversarial_examples(
    estimator,
    X,
    y,
    eps,
    norm="inf",
    attack="pgd",
    *,
    clip_values=None,
    attack_params=None,
    n_points=51,
    random_state=None,
):
    """Compute points near the samples that are misclassified.

    Parameters
    ----------
    estimator, X, y, norm, attack, clip_values, attack_params, n_points, random_state
        As those of `robust_accuracy`.
    eps : float
        Radius of the balls, in the units of X.

    Returns
    -------
    ndarray of shape (n_samples, n_features)
        A misclassified point in the ball of each sample. Where the attack has found none, the
        sample as it is; and so where the sample itself is misclassified.

    Raises
    ------
    ImportError, NotFittedError, TypeError, ValueError
        As `robust_accuracy`; and if `eps` is not one number.

    Examples
    --------
    >>> import numpy as np
    >>> from skode import ODENetClassifier
    >>> from skode.datasets import make_spirals
    >>> from skode.robustness import adversarial_examples
    >>> X, y = make_spirals(200, random_state=0)
    >>> model = ODENetClassifier(random_state=0).fit(X, y)
    >>> X_adv = adversarial_examples(model, X, y, eps=0.1, attack="grid", n_points=21)
    >>> bool(np.abs(X_adv - X).max() < 0.1001)
    True
    >>> bool(model.score(X_adv, y) < model.score(X, y))
    True
    """
    radius = checked_eps(eps)
    if radius.ndim:
        raise ValueError(f"eps must be one number; got {eps!r}.")
    attacker = _Attacker(
        estimator, X, y, norm, attack, clip_values, attack_params, n_points, random_state
    )
    found = attacker.X.copy()
    standing = np.ones(len(found), dtype=bool)
    for radius_of_run in (0.0, float(radius)):
        moved, fooled = attacker.run(radius_of_run, np.flatnonzero(standing), float(radius))
        found[fooled], standing[fooled] = moved, False
    return found


class _Attacker:
    """An attack on samples, and what has been checked of it."""

    def __init__(self, estimator, X, y, norm, attack, clip_values, options, n_points, random_state):
        self._classifier = AttackedClassifier(estimator)
        self._norm = checked_norm(norm)
        self._attack, self._options = attack, {} if options is None else options
        if not isinstance(self._options, dict):
            raise TypeError(f"attack_params must be a dict; got {options!r}.")
        self.X, self._codes = self._classifier.numbers_and_codes(X, y)
        self._box = checked_box(clip_values, self.X.shape[1])
        self._rng = check_random_state(random_state)
        self._moved = None
        self._find = self._finder(n_points)

    def run(self, eps, rows, largest):
        """The misclassified points found for some samples, and whose they are.

        No radius is larger than `largest`.
        """
        X, codes = self.X[rows], self._codes[rows]
        project = partial(into_ball, eps=eps, norm=self._norm, box=self._box)
        moved = X
        if eps > 0 and len(rows):
            moved = project(X, self._find(X, codes, rows, eps, largest, project))
        fooled = np.zeros(0, dtype=bool)
        if len(rows):
            fooled = self._classifier.codes(moved) != codes
        return moved[fooled], rows[fooled]

    def _finder(self, n_points):
        """The function that looks for points, for the attack that is asked for."""
        attack = self._attack
        if not isinstance(attack, str):
            if hasattr(attack, "generate"):
                return self._by_object
            if callable(attack):
                return self._by_callable
        elif attack == "grid":
            return self._by_grid(n_points)
        elif attack in OF_ART:
            if self._classifier.n_classes < 2:
                raise ValueError("The classifier knows a single class: no attack can change it.")
            if attack in OF_EUCLID and self._norm != 2:
                raise ValueError(f"attack={attack!r} is for the 2-norm; got norm={self._norm!r}.")
            imported("_art_attacks")  # raises now if ART is missing
            return self._by_name
        raise ValueError(
            f"attack must be one of {(*OF_ART, 'grid')}, an attack of ART, or a callable; got "
            f"{attack!r}."
        )

    def _by_grid(self, n_points):
        if self.X.shape[1] != 2:
            raise ValueError(
                f"attack='grid' is for two features; X has {self.X.shape[1]}. Take 'pgd' or "
                "'autoattack'."
            )
        if not isinstance(n_points, Integral) or isinstance(n_points, bool) or n_points < 2:
            raise ValueError(f"n_points must be an integer of at least 2; got {n_points!r}.")
        points = unit_grid(n_points, self._norm)

        sizes = np.linalg.norm(points, ord=self._norm, axis=1)
        tried = 0.0  # the radius of the ball, of which a finer grid has been tried

        def find(X, codes, rows, eps, largest, project):
            nonlocal tried
            beyond = points[sizes * eps > tried]
            tried = eps
            return grid_attack(self._classifier, X, codes, eps, project, beyond)

        return find

    def _by_name(self, X, codes, rows, eps, largest, project):
        if self._attack not in NEAREST:
            return self._examples(X, codes, eps)
        if self._moved is None:
            self._moved = self.X.copy()
            self._moved[rows] = self._examples(X, codes, largest)
        return self._moved[rows]

    def _examples(self, X, codes, eps):
        found = imported("_art_attacks").examples(
            self._attack,
            self._classifier,
            X,
            codes,
            float(eps),
            self._norm,
            self._box,
            self._rng,
            self._options,
        )
        return np.asarray(found, dtype=np.float64)

    def _by_object(self, X, codes, rows, eps, largest, project):
        if self._moved is None:
            one_hot = np.eye(self._classifier.n_classes)[codes]
            self._moved = self.X.copy()
            with imported("_art_attacks").seeded(self._rng):
                self._moved[rows] = self._checked(self._attack.generate(X, one_hot), X)
        return self._moved[rows]

    def _by_callable(self, X, codes, rows, eps, largest, project):
        labels = self._classifier.network._labels[codes]
        given = self._classifier.table(X)
        found = self._attack(self._classifier.estimator, given, labels, float(eps))
        return self._checked(found, X)

    def _checked(self, moved, X):
        """Points that an attack of the user's has returned."""
        moved = np.asarray(moved, dtype=np.float64)
        if moved.shape != X.shape or not np.isfinite(moved).all():
            raise ValueError(
                f"The attack must return finite points of the shape {X.shape}; it returned an "
                f"array of the shape {moved.shape}."
            )
        return moved
