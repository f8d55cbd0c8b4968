"""The way to the attacks of the Adversarial Robustness Toolbox (ART), which is optional."""

from __future__ import annotations

from importlib import import_module

from ._classifier import AttackedClassifier
from ._losses import LOSSES
from ._norms import checked_box

OUTPUTS = ("log_proba", "proba")


def art_classifier(estimator, *, output="log_proba", loss="cross_entropy", clip_values=None):
    """Wrap a fitted classifier for the attacks of the Adversarial Robustness Toolbox.

    All attacks of ART that work with arrays of shape (n_samples, n_features) accept the result. The
    gradients are exact: they are costates, brought back to the features, in their own units, that
    the estimator is given.

    Parameters
    ----------
    estimator : classifier of skode or Pipeline
        A fitted classifier, or a fitted pipeline that ends in one. The steps before it may be those
        that `skode.inspection.input_gradients` accepts.
    output : {"log_proba", "proba"}, default="log_proba"
        What ``predict`` returns and ``class_gradient`` differentiates: the logarithms of the
        probabilities, which are logits, or the probabilities. DeepFool, Carlini & Wagner's attack
        and AutoAttack need logits: DeepFool takes the classifier for nearly linear, which
        probabilities are not, and where a probability is 1 up to rounding its gradient is zero.
    loss : {"cross_entropy", "difference_logits_ratio"}, default="cross_entropy"
        What ``loss_gradient`` differentiates and ``compute_loss`` returns. The second one is that
        of Croce and Hein [1]_, the other loss of AutoAttack.
    clip_values : tuple of two floats or arrays of shape (n_features,), default=None
        The least and the largest value of the features, which attacks keep to. ART's DeepFool
        multiplies its steps by their difference, so leave them out for it, unless that is 1.

    Returns
    -------
    art.estimators.classification estimator
        A ``ClassGradientsMixin``, ``LossGradientsMixin`` and ``ClassifierMixin`` of ART, with

        - ``predict(x)``, of shape (n_samples, n_classes);
        - ``loss_gradient(x, y)``, of the shape of x;
        - ``class_gradient(x, label=None)``, of shape (n_samples, n_classes, n_features), or
          (n_samples, 1, n_features) for one label, or one per sample;
        - ``compute_loss(x, y, reduction="none")``, of shape (n_samples,).

        Classes are numbers 0, 1, … in the order of ``classes_``, or rows of zeros and a one.

    Raises
    ------
    ImportError
        If ART is not installed.
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If the estimator is not a classifier of skode, or has been fitted to several labels.
    ValueError
        If an option is unknown, or if the classifier knows a single class.

    See Also
    --------
    robust_accuracy : The accuracy under such an attack.
    skode.inspection.input_gradients : The gradients themselves.

    Notes
    -----
    ART computes in float32. The gradients are computed in the precision of the fit, at the point
    that ART gives. Examples of ART may leave the ball by a rounding error of float32.

    AutoAttack of ART makes its own copies of classifiers of PyTorch or TensorFlow. Give it the
    attacks that it is to run, as in the user guide; or use ``robust_accuracy`` with
    ``attack="autoattack"``, which does this.

    References
    ----------
    .. [1] F. Croce, M. Hein, "Reliable evaluation of adversarial robustness with an ensemble of
       diverse parameter-free attacks" (ICML 2020).

    Examples
    --------
    >>> from art.attacks.evasion import ProjectedGradientDescent
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skode import ODENetClassifier
    >>> from skode.robustness import art_classifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), ODENetClassifier(random_state=0)).fit(X, y)
    >>> attack = ProjectedGradientDescent(
    ...     art_classifier(model), norm=2, eps=0.5, eps_step=0.1, max_iter=20, verbose=False
    ... )
    >>> X_adv = attack.generate(X, y)  # moved by at most 0.5 cm
    >>> bool(model.score(X_adv, y) < model.score(X, y) - 0.1)
    True
    """
    for name, value, options in (("output", output, OUTPUTS), ("loss", loss, (*LOSSES,))):
        if value not in options:
            raise ValueError(f"{name} must be one of {options}; got {value!r}.")
    classifier = AttackedClassifier(estimator)
    if classifier.n_classes < 2:
        raise ValueError("The classifier knows a single class, so that no attack can change it.")
    box = checked_box(clip_values, classifier.n_features)
    return imported("_art_estimator").SkodeClassifier(classifier, output, loss, box)


def imported(name):
    """A module of this package that needs ART."""
    for package in ("art", "multiprocess"):
        try:
            import_module(package)
        except ImportError as error:
            raise ImportError(
                f"Attacks need the Adversarial Robustness Toolbox, but {package} cannot be "
                f"imported ({error}). Install it with: pip install 'skode[robustness]'. "
                "For two features, attack='grid' does without it."
            ) from error
    return import_module(f".{name}", __package__)
