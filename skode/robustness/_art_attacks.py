"""The attacks of the Adversarial Robustness Toolbox (ART) by name. This module imports ART."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from art.attacks.evasion import (
    AutoAttack,
    AutoProjectedGradientDescent,
    CarliniL2Method,
    DeepFool,
    FastGradientMethod,
    HopSkipJump,
)
from art.attacks.evasion.projected_gradient_descent.projected_gradient_descent_numpy import (
    ProjectedGradientDescentNumpy,
)
from art.utils import random_sphere

from ._art_estimator import SkodeClassifier
from ._norms import into_ball

BATCH = 512  # samples
PGD_STEPS = 40
PGD_LENGTH = 2.5  # of all steps of PGD, in radii: so that it reaches the border from anywhere
APGD_STEP = 2.0  # the first one of APGD, in radii, as Croce & Hein (2020) choose it
STARTS = 1000  # random points, of which HopSkipJump begins with some
OVERSHOOT = 0.02  # of DeepFool, as in its paper


def examples(name, classifier, X, codes, eps, norm, box, rng, options):
    """What the attack of that name makes of samples.

    Parameters
    ----------
    name : str
        A key of `ATTACKS`.
    classifier : AttackedClassifier
    X : ndarray of shape (n_samples, n_features)
    codes : ndarray of shape (n_samples,)
        Their classes.
    eps : float
        The radius. Attacks that look for the nearest example use it for the size of their box.
    norm : {2, np.inf}
    box : tuple of two ndarrays of shape (n_features,), or None
        The least and the largest values of the features.
    rng : RandomState
    options : dict
        Further parameters of the attack.
    """
    with seeded(rng):
        attack = ATTACKS[name](Target(classifier, X, box, rng), eps, norm, options)
        return attack.generate(X, np.eye(classifier.n_classes)[codes])


@contextmanager
def seeded(rng):
    """Draw from NumPy's global generator, which ART uses, as `rng` says; leave it as it was."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(rng.randint(2**31 - 1))  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


class Target(NamedTuple):
    """What is attacked: the classifier, samples, and the box; and what draws random numbers."""

    classifier: Any
    X: Any
    box: Any
    rng: Any

    def estimator(self, loss="cross_entropy", box=None):
        """The classifier as an estimator of ART."""
        return SkodeClassifier(self.classifier, "log_proba", loss, box)

    def room(self, eps):
        """The box, or one around all samples and their balls."""
        return self.box or (self.X.min(axis=0) - eps, self.X.max(axis=0) + eps)


def _fgsm(target, eps, norm, options):
    return FastGradientMethod(
        target.estimator(box=target.box),
        **{"norm": norm, "eps": eps, "batch_size": BATCH, **options},
    )


def _pgd(target, eps, norm, options):
    steps = options.get("max_iter", PGD_STEPS)
    usual = {"eps_step": PGD_LENGTH * eps / steps, "max_iter": steps, "num_random_init": 2}
    return _ProjectedGradientDescent(
        target.estimator(box=target.box),
        **{"norm": norm, "eps": eps, "batch_size": BATCH, "verbose": False, **usual, **options},
    )


class _ProjectedGradientDescent(ProjectedGradientDescentNumpy):
    """ART's class with steps of its own, as those of ART often take longer than the gradients."""

    def _compute(
        self, x, x_init, y, mask, eps, eps_step, project, random_init, batch_id_ext=None, **options
    ):
        """One step, rounded as those of ART."""
        radius_of_each = np.ndim(eps) or np.ndim(eps_step) or self.norm not in (2, np.inf)
        if mask is not None or self.decay is not None or self.targeted or radius_of_each:
            args = x, x_init, y, mask, eps, eps_step, project, random_init, batch_id_ext
            return super()._compute(*args, **options)
        x_init, box = x_init.astype(np.float32, copy=False), self.estimator.clip_values
        x = x.astype(np.float32, copy=False)
        if random_init:
            x = x + random_sphere(*x.shape, eps, self.norm).astype(np.float32)
            x = x if box is None else np.clip(x, *box)
        moved = x + eps_step * self._direction(x, y)
        if box is not None:
            moved = np.clip(moved, *box)
        return into_ball(x_init, moved, eps, self.norm)

    def _direction(self, x, y):
        """The unit vectors of the norm along which the losses increase the most."""
        gradient = self.estimator.loss_gradient(x, y)
        if self.norm == np.inf:
            direction = np.sign(gradient)
        else:
            size = np.linalg.norm(gradient, axis=1, keepdims=True)
            direction = gradient / np.where(size > 0, size, np.inf)
        return direction.astype(np.float32, order="C")


def _auto_attack(target, eps, norm, options):
    """APGD with both losses and DeepFool; ART's Square attack is for images alone."""
    usual = {"norm": norm, "eps": eps, "eps_step": APGD_STEP * eps, "batch_size": BATCH}
    attacks = [
        AutoProjectedGradientDescent(
            target.estimator(loss, target.box), verbose=False, **{**usual, **options}
        )
        for loss in ("cross_entropy", "difference_logits_ratio")
    ]
    attacks.append(_deep_fool(target, eps, norm, {}))
    return AutoAttack(target.estimator(box=target.box), attacks=attacks, **usual)


def _deep_fool(target, eps, norm, options):
    # Its steps are multiplied by the size of the box, so it has none.
    usual = {"epsilon": OVERSHOOT, "batch_size": BATCH, "verbose": False}
    return DeepFool(target.estimator(), **{**usual, **options})


def _carlini(target, eps, norm, options):
    usual = {"batch_size": BATCH, "verbose": False}
    return CarliniL2Method(target.estimator(box=target.room(eps)), **{**usual, **options})


def _hop_skip_jump(target, eps, norm, options):
    usual = {"norm": norm, "max_iter": 10, "max_eval": 1000, "verbose": False}
    return _HopSkipJump(target, eps, **{**usual, **options})


class _HopSkipJump(HopSkipJump):
    """HopSkipJump from given starts, as it would draw its own by a generator without a seed."""

    def __init__(self, target, eps, **options):
        self._target, self._room = target, target.room(eps)
        super().__init__(target.estimator(box=self._room), **options)

    def generate(self, x, y=None, **kwargs):
        """Examples near the boundary; x where no point of another class is known."""
        starts = self._starts(x, np.asarray(y).argmax(axis=1))
        found, some = x.astype(np.float32), np.isfinite(starts).all(axis=1)
        if some.any():
            found[some] = super().generate(x[some], y[some], x_adv_init=starts[some], **kwargs)
        return found

    def _starts(self, x, codes):
        """A sample or a random point of another class, for every sample; NaN if there is none."""
        rng, (low, high) = self._target.rng, self._room
        pool = np.concatenate([self._target.X, rng.uniform(low, high, (STARTS, len(low)))])
        of_pool = self._target.classifier.codes(pool)
        starts = np.full(x.shape, np.nan)
        for code in np.unique(codes):
            others, mine = pool[of_pool != code], np.flatnonzero(codes == code)
            if len(others):
                starts[mine] = others[rng.randint(len(others), size=len(mine))]
        return starts


ATTACKS = {
    "fgsm": _fgsm,
    "pgd": _pgd,
    "autoattack": _auto_attack,
    "deepfool": _deep_fool,
    "carlini": _carlini,
    "hopskipjump": _hop_skip_jump,
}
