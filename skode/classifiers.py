"""ODENetClassifier and FeedForwardClassifier: parameters and their documentation."""

from __future__ import annotations

from ._classification import NetworkClassifier
from ._networks import FeedForward, ODENet

__all__ = ["FeedForwardClassifier", "ODENetClassifier"]


class ODENetClassifier(ODENet, NetworkClassifier):
    """Neural ODE classifier: residual networks as Runge-Kutta discretisations.

    The features, lifted to n_channels dimensions, are the initial value of the ODE y′ = σ(K(t) y +
    b(t)). They are carried to time N·h by N steps of a Runge-Kutta scheme, and an affine readout of
    the final state gives the logits. All of it is trained, the steps h if wished; the gradient is
    the discrete costate (adjoint) equation of the scheme, exact to rounding.

    By default the model is an average over folds: each network is trained on all folds but one and
    stopped by the loss on that one, which also weighs the candidates: penalties, and views of the
    features.

    Parameters
    ----------
    scheme : str, ButcherTableau or tuple (A, b, c), default="euler"
        The Runge-Kutta scheme. Explicit: "euler" (the residual network), "heun", "midpoint",
        "ralston2", "kutta3", "ralston3", "ssprk3", "rk4", "rk38". Implicit: "implicit_euler",
        "implicit_midpoint", "trapezoid", "sdirk2", "gauss4", "gauss6", "radau_iia3", "radau_iia5",
        "lobatto_iiia4", "lobatto_iiic4". Or a tableau of your own. An explicit scheme costs what
        "euler" costs times the number of its stages, an implicit one 2 to 25 times as
        much as "euler"; the page on schemes has the measurements.
    N : int, default=2
        Number of layers, that is of steps of the scheme.
    h : float, default=0.5
        Length of a step, in units of time; the start value where the steps are learned.
    learn_step : bool or "simplex", default=False
        Whether each layer's step is trained: freely, in which case it may become negative, or on
        the simplex {hℓ ≥ 0, Σ hℓ = N·h}, which in deep networks makes many of them exactly zero.
    stage_guard : {"bound", "reject"}, default="bound"
        What implicit schemes do against stage equations without a solution, which explicit ones do
        not have. "bound": every trial K is projected onto a set on which each stage equation has
        exactly one solution, whatever the sample. Learned steps are then kept within 2h, and since
        the set is the smaller the longer a step may become, it is smaller than for fixed ones.
        "reject": a trial with a stage equation that cannot be solved is only rejected, and a
        shorter step tried. Then training may end at the border of what can be solved, and `predict`
        may meet a sample beyond it, which is an error.
    n_channels : int or "auto", default="auto"
        Dimension of the state. "auto" means 48, from 8 outputs on 64, and 96 from 16 outputs on or
        above 10 000 samples; with ``lift="pad"`` at least the number of inputs. More channels let
        the flow do what is topologically impossible in fewer dimensions.
    lift : {"nonlinear", "linear", "pad"}, default="nonlinear"
        How features become the state. "nonlinear": by y⁰ = σ(V x + ν), a hidden layer that is
        learned too. "linear": by y⁰ = V x + ν. "pad": they are padded with zeros, for which
        n_channels has to be at least their number. Here x are the features, or what `features`
        makes of them.
    activation : {"tanh", "relu", "softplus", "identity", "mixed"}, default="relu"
        The function σ of the vector field σ(K y + b). "mixed" is tanh on the first half of the
        channels and relu on the others.
    loss : {"log_loss", "squared_error"}, default="log_loss"
        Cross-entropy, or half the squared error of the logistic outputs as in the paper [1]_. Where
        y holds several labels, "log_loss" is the mean of their binary log-losses, and the other is
        not available.
    features : {"auto", "given", "piecewise", "both"}, default="auto"
        What the networks see of the features. "given": the features themselves. "piecewise": each
        feature cut into up to eight pieces between its quantiles, so that a network may bend in
        each of them and no entry is far out; features of at most ten values stay as they are.
        "both": some of the candidates see the features as given and some in pieces, which needs
        samples that are held out. "auto" means "both" where that is possible, there are at most
        20 000 samples and some feature has more than ten values; and "given" otherwise, as well as
        for sparse X, with ``lift="pad"`` and in a first `partial_fit`, whose samples decide the
        pieces for good. The pieces of sparse features are dense: they are computed for some rows at
        a time, each time anew. See `feature_map_`.
    alpha : float, sequence of float or "auto", default="auto"
        Strength of the L2 penalty ½ alpha (‖K‖² + ‖W‖² + ‖V‖²). Several are candidates: all are
        trained, and the model is their average, with weights that make its loss on held-out samples
        low; at most two count. Up to 700 samples "auto" means (0.5, 2) / n for the features as
        given and (2, 8) / n for their pieces, and above 1 / n and 2 / n. Where all networks see the
        same, it means (0.1, 0.5, 2, 8) / n up to 700 samples, (0.5, 4, 32) / n up to 10 000, and
        1 / n above. Where nothing is held out it means 1 / n, but no more than 0.01, and in
        `partial_fit` 1e-4. Here n is the number of samples, or the sum of the sample weights where
        these are whole numbers, like counts.
    smoothness : float, default=0.0
        Strength β of the penalty ½ β Σ ‖Uℓ⁺¹ - Uℓ‖²/h on controls U = (K, b) that change from layer
        to layer.
    cv : "auto", int, splitter, iterable or None, default="auto"
        Which samples are held out. Each network is trained on one side of a split. Its loss on the
        other side, which is held out, decides when it stops, which iterate is kept, and how much
        its candidate counts; the networks of all splits are averaged. An int is a
        number of folds, stratified by class and not shuffled. "auto" means eight shuffled ones, of
        which splits only as many are made as have 10 000 samples together, but at least three;
        above 40 000 samples two, above 60 000 one. Either keeps together what `groups` name, see
        `fit`, and copies of a row. A class of fewer samples than there are folds has one of them in
        each of as many folds, and a single sample is always trained on. Where splits of your own
        do not hold all samples out equally often, such as those of TimeSeriesSplit, or leave a
        class out of training, they only choose candidates and numbers of iterations, and then
        networks are trained on all samples. None: nothing is held out, unless by `early_stopping`.
    scoring : str, callable or "auto", default="auto"
        What chooses among iterates and candidates, by the samples that are held out: "auto" is the
        loss; else the name of a scorer of scikit-learn, such as "roc_auc" for two classes, or a
        callable (estimator, X, y) -> float that does not look at X and is not given the weights.
        Training lowers the loss all the same. Where what a split holds out has no score, such as
        "roc_auc" without positives, its iterates are chosen by the loss.
    n_restarts : int, default=1
        Number of networks trained from different random starts, in every fold. All are averaged.
    solver : {"auto", "lbfgs", "gd", "adam", "adam+lbfgs"}, default="auto"
        "lbfgs": L-BFGS with backtracking. "gd": gradient descent with backtracking, as published.
        "adam": Adam on mini-batches. "adam+lbfgs": Adam for the first 60 percent of the iterations,
        then L-BFGS from the best point; with ``batch_size=n_samples`` for problems where L-BFGS
        alone gets stuck. "auto": "lbfgs" up to 700 samples, above them "adam".
    line_search : {"armijo", "lipschitz"}, default="armijo"
        How steps of "gd" are found: "armijo" tries twice the last step and halves it until the
        objective falls enough; "lipschitz" adapts an estimate of the gradient's Lipschitz constant.
        Both are of the published experiments.
    batch_size : int or "auto", default="auto"
        Largest number of samples in a mini-batch of Adam; those of an epoch are of equal size, up
        to one sample. "auto" means fifty batches per epoch, or fewer or more, so that each has at
        least 32 and at most 500 samples if there are as many. With n_samples, Adam goes by the full
        gradient.
    learning_rate_init : float, default=0.01
        Learning rate of Adam in its first epoch.
    learning_rate_decay : float, default=0.0
        In epoch e, counted from 0, the learning rate is learning_rate_init / (1 + decay · e); in
        `partial_fit` it stays learning_rate_init.
    max_iter : int, default=200
        Largest number of iterations; of epochs, with Adam.
    tol : float, default=1e-4
        A network's training ends once the objective has fallen by less than `tol` over the last
        `n_iter_no_change` iterations, or once its held-out loss has not fallen by `tol` for as
        many; see `stop_reason_`.
    n_iter_no_change : int or "auto", default="auto"
        See `tol`. "auto" means 20 iterations, or 5 epochs where the solver is "adam".
    early_stopping : bool, default=False
        With ``cv=None``, whether a fraction of the samples is held out for early stopping. They are
        never trained on.
    validation_fraction : float, default=0.1
        The fraction of the samples that `early_stopping` holds out.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, which multiply those of the samples, in the training and in the
        held-out losses. "balanced" gives every class the same total weight. It has to be None where
        y holds several labels.
    warm_start : bool, default=False
        Whether `fit` starts from what the last one has come to, instead of at random. The random
        splits and `feature_map_` are then the same again. They are meant for the same samples in
        the same order: on others a network may have been trained on what is now held out. Then
        there is a warning. Where there are far more inputs than samples, what `V_` has learned of
        inputs that none of the new samples shows is forgotten.
    n_jobs : int, default=None
        Threads that compute at the same time, in `fit` as in prediction; -1 means one per core.
        None means as many as BLAS would use here, so that there is one in each worker of a
        GridSearchCV that has several.  Where there is too little to compute, one thread does it.
        The results do not depend on it, to the last bit. Arrays of other libraries than NumPy are
        computed with by the threads of those.
    device : {"cpu", "cuda"} or None, default=None
        Where to compute. None means where X is: with scikit-learn's array API dispatch, or on a
        GPU, arrays of CuPy and PyTorch stay what and where they are, and so do the results and the
        fitted arrays. "cuda" takes host arrays, computes on the GPU by CuPy, and gives host
        arrays back. "cpu": always compute on the host with NumPy, even if X is on a GPU.
    verbose : int, default=0
        1 logs every tenth of `max_iter` and how training ended, 2 every iteration, to the logger
        "skode" at level INFO, with the held-out loss where there is one. The lines go to the
        application's handlers, whatever their logger's level is, or else to stderr.
    random_state : int, RandomState instance or None, default=None
        Determines the random start, the splits of ``cv="auto"`` and of early stopping, and Adam's
        batches.

    Attributes
    ----------
    K_ : ndarray of shape (n_networks, N, n_channels, n_channels)
        Weights of the layers. The networks are those of all candidates that count, folds and
        restarts, in this order.
    b_ : ndarray of shape (n_networks, N, n_channels)
        Biases of the layers.
    h_ : ndarray of shape (n_networks, N)
        Steps of the layers.
    W_ : ndarray of shape (n_networks, n_outputs, n_channels)
        Weights of the readout.
    mu_ : ndarray of shape (n_networks, n_outputs)
        Biases of the readout.
    V_, nu_ : ndarrays of shapes (n_networks, n_channels, n_inputs) and (n_networks, n_channels)
        The lift of the inputs, which `feature_map_` makes of the features, where it is learned. The
        columns of inputs that a network does not see are zero.
    feature_map_ : FeatureMap
        What the networks see: ``feature_map_.transform(X)`` are the inputs, of shape (n_samples,
        n_inputs), and ``feature_map_.views`` says which belong to "given" and to "piecewise".
    network_features_ : list of str of length n_networks
        What each network sees: "given" or "piecewise".
    network_weights_ : ndarray of shape (n_networks,)
        How much each network counts in the average; they add up to one.
    alpha_ : float
        The penalty of the candidate that counts most.
    candidates_ : dict of ndarrays of shape (n_candidates,)
        "features", what each candidate sees, "given" or "piecewise"; "alpha", its penalty;
        "validation_loss", its mean held-out loss; and "weight", how much it counts. This and the
        next ones are there where samples are held out.
    validation_loss_ : ndarray of shape (n_candidates, n_splits, n_restarts)
        The lowest held-out loss of every network, or with `scoring` the lowest negative score; that
        of a candidate that was clearly behind, as far as it came.
    validation_curve_ : ndarray of shape (n_candidates, n_splits, n_restarts, n_iterations + 1)
        Held-out loss at the start and after each iteration; NaN after a network has ended.
    oof_decision_function_ : ndarray of shape (n_samples,), (n_samples, n_classes or n_labels)
        What `decision_function` would say of each sample by the networks that were not trained on
        it; NaN for samples that are never held out.
    oof_score_ : float
        Accuracy of the same, weighted with `sample_weight`; of several labels, the share of samples
        of which all labels are right, as in `score`. It is optimistic for few samples, as the
        held-out folds have also chosen the iterates. Where a class is never held out and judged, it
        is NaN, with a warning.
    loss_ : ndarray of shape (n_networks,)
        Objective of the networks, penalty included.
    loss_curve_ : ndarray of shape (n_iterations + 1, n_networks)
        Objective at the start and after each iteration, a column for each network, as
        ``plt.plot(model.loss_curve_)`` draws them; NaN after a network has ended. See
        `skode.plotting.LossCurveDisplay`.
    n_iter_ : ndarray of shape (n_networks,)
        Iterations of this fit.
    best_iter_ : ndarray of shape (n_networks,)
        The iteration that was kept: that of the lowest held-out loss, or where nothing is held out
        of the lowest objective.
    n_evaluations_ : ndarray of shape (n_networks,)
        Evaluations of the objective on all samples.
    stop_reason_ : list of str of length n_networks
        "converged", "early stopping" (the held-out loss does not fall any more), "max_iter",
        "behind" (another candidate was clearly better; its networks may count all the same), "slow
        progress" (the gradient is steep and yet only tiny steps lower the objective: scale X), "no
        acceptable step" or "interrupted"; "refit" where the splits only chose, see `cv`.
    classes_ : ndarray of shape (n_classes,) or (n_labels,)
        Class labels; of several labels, the numbers of the columns of y.
    n_outputs_ : int
        One for two classes, else their number or that of the labels.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where X has names that are all strings.

    See Also
    --------
    FeedForwardClassifier : The same networks without the ODE.

    References
    ----------
    .. [1] M. Benning, E. Celledoni, M. J. Ehrhardt, B. Owren, C.-B. Schönlieb, "Deep learning as
       optimal control problems", IFAC-PapersOnLine 54 (2021).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skode import ODENetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), ODENetClassifier(random_state=0)).fit(X, y)
    >>> bool(model[-1].oof_score_ > 0.9)
    True
    """

    _parameter_constraints: dict = {
        **NetworkClassifier._parameter_constraints,
        **ODENet._parameter_constraints,
    }

    def __init__(
        self,
        scheme="euler",
        N=2,
        h=0.5,
        learn_step=False,
        *,
        stage_guard="bound",
        n_channels="auto",
        lift="nonlinear",
        activation="relu",
        loss="log_loss",
        features="auto",
        alpha="auto",
        smoothness=0.0,
        cv="auto",
        scoring="auto",
        n_restarts=1,
        solver="auto",
        line_search="armijo",
        batch_size="auto",
        learning_rate_init=0.01,
        learning_rate_decay=0.0,
        max_iter=200,
        tol=1e-4,
        n_iter_no_change="auto",
        early_stopping=False,
        validation_fraction=0.1,
        class_weight=None,
        warm_start=False,
        n_jobs=None,
        device=None,
        verbose=0,
        random_state=None,
    ):
        self.scheme = scheme
        self.N = N
        self.h = h
        self.learn_step = learn_step
        self.stage_guard = stage_guard
        self.n_channels = n_channels
        self.lift = lift
        self.activation = activation
        self.loss = loss
        self.features = features
        self.alpha = alpha
        self.smoothness = smoothness
        self.cv = cv
        self.scoring = scoring
        self.n_restarts = n_restarts
        self.solver = solver
        self.line_search = line_search
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.learning_rate_decay = learning_rate_decay
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.device = device
        self.verbose = verbose
        self.random_state = random_state


class FeedForwardClassifier(FeedForward, NetworkClassifier):
    """Feed-forward baseline: the networks of `ODENetClassifier` without the ODE.

    The layers are y⁺ = h σ(K y + b) instead of y⁺ = y + h σ(K y + b). Everything else is the
    same but the defaults of N and h and the size of the first K and b, so that with equal
    parameters a difference between the two is due to the ODE.

    Parameters
    ----------
    N : int, default=1
        Number of layers behind the lift.
    h : float, default=1.0
        Factor of a layer; the start value where it is learned.
    learn_step : bool or "simplex", default=False
        Whether each layer's factor h is trained: freely, or on the simplex {hℓ ≥ 0, Σ hℓ = N·h}. A
        layer whose factor becomes zero passes nothing on.
    n_channels : int or "auto", default="auto"
        Width of the layers. "auto" means 48, from 8 outputs on 64, and 96 from 16 outputs on or
        above 10 000 samples; with ``lift="pad"`` at least the number of inputs.
    lift : {"nonlinear", "linear", "pad"}, default="nonlinear"
        How features become the state. "nonlinear": by y⁰ = σ(V x + ν), a hidden layer that is
        learned too. "linear": by y⁰ = V x + ν. "pad": they are padded with zeros, for which
        n_channels has to be at least their number. Here x are the features, or what `features`
        makes of them.
    activation : {"tanh", "relu", "softplus", "identity", "mixed"}, default="relu"
        The function σ of the layers. "mixed" is tanh on the first half of the channels and relu on
        the others.
    loss : {"log_loss", "squared_error"}, default="log_loss"
        Cross-entropy, or half the squared error of the logistic outputs. Where y holds several
        labels, "log_loss" is the mean of their binary log-losses, and the other is not available.
    features : {"auto", "given", "piecewise", "both"}, default="auto"
        What the networks see of the features. "given": the features themselves. "piecewise": each
        feature cut into up to eight pieces between its quantiles, so that a network may bend in
        each of them and no entry is far out; features of at most ten values stay as they are.
        "both": some of the candidates see the features as given and some in pieces, which needs
        samples that are held out. "auto" means "both" where that is possible, there are at most
        20 000 samples and some feature has more than ten values; and "given" otherwise, as well as
        for sparse X, with ``lift="pad"`` and in a first `partial_fit`, whose samples decide the
        pieces for good. The pieces of sparse features are dense: they are computed for some rows at
        a time, each time anew. See `feature_map_`.
    alpha : float, sequence of float or "auto", default="auto"
        Strength of the L2 penalty ½ alpha (‖K‖² + ‖W‖² + ‖V‖²). Several are candidates: all are
        trained, and the model is their average, with weights that make its loss on held-out samples
        low; at most two count. Up to 700 samples "auto" means (0.5, 2) / n for the features as
        given and (2, 8) / n for their pieces, and above 1 / n and 2 / n. Where all networks see the
        same, it means (0.1, 0.5, 2, 8) / n up to 700 samples, (0.5, 4, 32) / n up to 10 000, and
        1 / n above. Where nothing is held out it means 1 / n, but no more than 0.01, and in
        `partial_fit` 1e-4. Here n is the number of samples, or the sum of the sample weights where
        these are whole numbers, like counts.
    smoothness : float, default=0.0
        Strength β of the penalty ½ β Σ ‖Uℓ⁺¹ - Uℓ‖²/h on controls U = (K, b) that change from layer
        to layer.
    cv : "auto", int, splitter, iterable or None, default="auto"
        Which samples are held out. Each network is trained on one side of a split. Its loss on the
        other side, which is held out, decides when it stops, which iterate is kept, and how much
        its candidate counts; the networks of all splits are averaged. An int is a
        number of folds, stratified by class and not shuffled. "auto" means eight shuffled ones, of
        which splits only as many are made as have 10 000 samples together, but at least three;
        above 40 000 samples two, above 60 000 one. Either keeps together what `groups` name, see
        `fit`, and copies of a row. A class of fewer samples than there are folds has one of them in
        each of as many folds, and a single sample is always trained on. Where splits of your own
        do not hold all samples out equally often, such as those of TimeSeriesSplit, or leave a
        class out of training, they only choose candidates and numbers of iterations, and then
        networks are trained on all samples. None: nothing is held out, unless by `early_stopping`.
    scoring : str, callable or "auto", default="auto"
        What chooses among iterates and candidates, by the samples that are held out: "auto" is the
        loss; else the name of a scorer of scikit-learn, such as "roc_auc" for two classes, or a
        callable (estimator, X, y) -> float that does not look at X and is not given the weights.
        Training lowers the loss all the same. Where what a split holds out has no score, such as
        "roc_auc" without positives, its iterates are chosen by the loss.
    n_restarts : int, default=1
        Number of networks trained from different random starts, in every fold. All are averaged.
    solver : {"auto", "lbfgs", "gd", "adam", "adam+lbfgs"}, default="auto"
        "lbfgs": L-BFGS with backtracking. "gd": gradient descent with backtracking, as published.
        "adam": Adam on mini-batches. "adam+lbfgs": Adam for the first 60 percent of the iterations,
        then L-BFGS from the best point; with ``batch_size=n_samples`` for problems where L-BFGS
        alone gets stuck. "auto": "lbfgs" up to 700 samples, above them "adam".
    line_search : {"armijo", "lipschitz"}, default="armijo"
        How steps of "gd" are found: "armijo" tries twice the last step and halves it until the
        objective falls enough; "lipschitz" adapts an estimate of the gradient's Lipschitz constant.
        Both are of the published experiments.
    batch_size : int or "auto", default="auto"
        Largest number of samples in a mini-batch of Adam; those of an epoch are of equal size, up
        to one sample. "auto" means fifty batches per epoch, or fewer or more, so that each has at
        least 32 and at most 500 samples if there are as many. With n_samples, Adam goes by the full
        gradient.
    learning_rate_init : float, default=0.01
        Learning rate of Adam in its first epoch.
    learning_rate_decay : float, default=0.0
        In epoch e, counted from 0, the learning rate is learning_rate_init / (1 + decay · e); in
        `partial_fit` it stays learning_rate_init.
    max_iter : int, default=200
        Largest number of iterations; of epochs, with Adam.
    tol : float, default=1e-4
        A network's training ends once the objective has fallen by less than `tol` over the last
        `n_iter_no_change` iterations, or once its held-out loss has not fallen by `tol` for as
        many; see `stop_reason_`.
    n_iter_no_change : int or "auto", default="auto"
        See `tol`. "auto" means 20 iterations, or 5 epochs where the solver is "adam".
    early_stopping : bool, default=False
        With ``cv=None``, whether a fraction of the samples is held out for early stopping. They are
        never trained on.
    validation_fraction : float, default=0.1
        The fraction of the samples that `early_stopping` holds out.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, which multiply those of the samples, in the training and in the
        held-out losses. "balanced" gives every class the same total weight. It has to be None where
        y holds several labels.
    warm_start : bool, default=False
        Whether `fit` starts from what the last one has come to, instead of at random. The random
        splits and `feature_map_` are then the same again. They are meant for the same samples in
        the same order: on others a network may have been trained on what is now held out. Then
        there is a warning. Where there are far more inputs than samples, what `V_` has learned of
        inputs that none of the new samples shows is forgotten.
    n_jobs : int, default=None
        Threads that compute at the same time, in `fit` as in prediction; -1 means one per core.
        None means as many as BLAS would use here, so that there is one in each worker of a
        GridSearchCV that has several.  Where there is too little to compute, one thread does it.
        The results do not depend on it, to the last bit. Arrays of other libraries than NumPy are
        computed with by the threads of those.
    device : {"cpu", "cuda"} or None, default=None
        Where to compute. None means where X is: with scikit-learn's array API dispatch, or on a
        GPU, arrays of CuPy and PyTorch stay what and where they are, and so do the results and the
        fitted arrays. "cuda" takes host arrays, computes on the GPU by CuPy, and gives host
        arrays back. "cpu": always compute on the host with NumPy, even if X is on a GPU.
    verbose : int, default=0
        1 logs every tenth of `max_iter` and how training ended, 2 every iteration, to the logger
        "skode" at level INFO, with the held-out loss where there is one. The lines go to the
        application's handlers, whatever their logger's level is, or else to stderr.
    random_state : int, RandomState instance or None, default=None
        Determines the random start, the splits of ``cv="auto"`` and of early stopping, and Adam's
        batches.

    Attributes
    ----------
    K_ : ndarray of shape (n_networks, N, n_channels, n_channels)
        Weights of the layers. The networks are those of all candidates that count, folds and
        restarts, in this order.
    b_ : ndarray of shape (n_networks, N, n_channels)
        Biases of the layers.
    h_ : ndarray of shape (n_networks, N)
        Factors of the layers.
    W_ : ndarray of shape (n_networks, n_outputs, n_channels)
        Weights of the readout.
    mu_ : ndarray of shape (n_networks, n_outputs)
        Biases of the readout.
    V_, nu_ : ndarrays of shapes (n_networks, n_channels, n_inputs) and (n_networks, n_channels)
        The lift of the inputs, which `feature_map_` makes of the features, where it is learned. The
        columns of inputs that a network does not see are zero.
    feature_map_ : FeatureMap
        What the networks see: ``feature_map_.transform(X)`` are the inputs, of shape (n_samples,
        n_inputs), and ``feature_map_.views`` says which belong to "given" and to "piecewise".
    network_features_ : list of str of length n_networks
        What each network sees: "given" or "piecewise".
    network_weights_ : ndarray of shape (n_networks,)
        How much each network counts in the average; they add up to one.
    alpha_ : float
        The penalty of the candidate that counts most.
    candidates_ : dict of ndarrays of shape (n_candidates,)
        "features", what each candidate sees, "given" or "piecewise"; "alpha", its penalty;
        "validation_loss", its mean held-out loss; and "weight", how much it counts. This and the
        next ones are there where samples are held out.
    validation_loss_ : ndarray of shape (n_candidates, n_splits, n_restarts)
        The lowest held-out loss of every network, or with `scoring` the lowest negative score; that
        of a candidate that was clearly behind, as far as it came.
    validation_curve_ : ndarray of shape (n_candidates, n_splits, n_restarts, n_iterations + 1)
        Held-out loss at the start and after each iteration; NaN after a network has ended.
    oof_decision_function_ : ndarray of shape (n_samples,), (n_samples, n_classes or n_labels)
        What `decision_function` would say of each sample by the networks that were not trained on
        it; NaN for samples that are never held out.
    oof_score_ : float
        Accuracy of the same, weighted with `sample_weight`; of several labels, the share of samples
        of which all labels are right, as in `score`. It is optimistic for few samples, as the
        held-out folds have also chosen the iterates. Where a class is never held out and judged, it
        is NaN, with a warning.
    loss_ : ndarray of shape (n_networks,)
        Objective of the networks, penalty included.
    loss_curve_ : ndarray of shape (n_iterations + 1, n_networks)
        Objective at the start and after each iteration, a column for each network, as
        ``plt.plot(model.loss_curve_)`` draws them; NaN after a network has ended. See
        `skode.plotting.LossCurveDisplay`.
    n_iter_ : ndarray of shape (n_networks,)
        Iterations of this fit.
    best_iter_ : ndarray of shape (n_networks,)
        The iteration that was kept: that of the lowest held-out loss, or where nothing is held out
        of the lowest objective.
    n_evaluations_ : ndarray of shape (n_networks,)
        Evaluations of the objective on all samples.
    stop_reason_ : list of str of length n_networks
        "converged", "early stopping" (the held-out loss does not fall any more), "max_iter",
        "behind" (another candidate was clearly better; its networks may count all the same), "slow
        progress" (the gradient is steep and yet only tiny steps lower the objective: scale X), "no
        acceptable step" or "interrupted"; "refit" where the splits only chose, see `cv`.
    classes_ : ndarray of shape (n_classes,) or (n_labels,)
        Class labels; of several labels, the numbers of the columns of y.
    n_outputs_ : int
        One for two classes, else their number or that of the labels.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where X has names that are all strings.

    See Also
    --------
    ODENetClassifier : The neural ODE.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skode import FeedForwardClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), FeedForwardClassifier(random_state=0)).fit(X, y)
    >>> bool(model[-1].oof_score_ > 0.9)
    True
    """

    def __init__(
        self,
        N=1,
        h=1.0,
        learn_step=False,
        *,
        n_channels="auto",
        lift="nonlinear",
        activation="relu",
        loss="log_loss",
        features="auto",
        alpha="auto",
        smoothness=0.0,
        cv="auto",
        scoring="auto",
        n_restarts=1,
        solver="auto",
        line_search="armijo",
        batch_size="auto",
        learning_rate_init=0.01,
        learning_rate_decay=0.0,
        max_iter=200,
        tol=1e-4,
        n_iter_no_change="auto",
        early_stopping=False,
        validation_fraction=0.1,
        class_weight=None,
        warm_start=False,
        n_jobs=None,
        device=None,
        verbose=0,
        random_state=None,
    ):
        self.N = N
        self.h = h
        self.learn_step = learn_step
        self.n_channels = n_channels
        self.lift = lift
        self.activation = activation
        self.loss = loss
        self.features = features
        self.alpha = alpha
        self.smoothness = smoothness
        self.cv = cv
        self.scoring = scoring
        self.n_restarts = n_restarts
        self.solver = solver
        self.line_search = line_search
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.learning_rate_decay = learning_rate_decay
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.device = device
        self.verbose = verbose
        self.random_state = random_state
