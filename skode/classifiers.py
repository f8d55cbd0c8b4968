"""ODENetClassifier and FeedForwardClassifier: parameters and their documentation."""

from __future__ import annotations

from ._classification import NetworkClassifier
from ._networks import FeedForward, ODENet

__all__ = ["FeedForwardClassifier", "ODENetClassifier"]


class ODENetClassifier(ODENet, NetworkClassifier):
    """Neural ODE classifier: a deep residual network that discretises an ODE.

    Scale the features first, for example with ``StandardScaler`` in a pipeline. The defaults are
    meant for features of zero mean and unit variance.

    A learned map lifts the features of a sample to `n_channels` numbers, the state. N layers carry
    the state along the ODE y′ = σ(K(t) y + b(t)), one step of a Runge-Kutta scheme each, and an
    affine readout of the last state gives the logits. With ``scheme="euler"`` a layer is y + h σ(K
    y + b), the layer of a residual network. The gradient is the discrete adjoint (costate) equation
    of the scheme, exact up to rounding [1]_.

    By default the model is a weighted average of networks. The samples are dealt to folds, and each
    network is trained on all folds but one. Its loss on that fold, the held-out loss, decides when
    training stops, and how much each candidate counts. A candidate is a penalty `alpha` together
    with a view of the features, see `features`.

    The parameters are listed in this order:

    - Usually set: `random_state`, `n_channels`, `alpha`, `cv`, `class_weight`.
    - To study the ODE: `scheme`, `N`, `h`, `learn_step`, `vector_field`, `damping`, `stage_guard`,
      `smoothness`, `constraint`, `constraint_norm`.
    - The network: `lift`, `activation`, `loss`, `features`.
    - What is held out and what is averaged: `scoring`, `n_restarts`, `early_stopping`,
      `validation_fraction`.
    - Training: `solver`, `max_iter`, `tol`, `n_iter_no_change`, `max_time`,
      `warm_start`.
    - Only for Adam: `batch_size`, `learning_rate_init`, `learning_rate_decay`.
    - Only for ``solver="gd"``: `line_search`.
    - Computing: `n_jobs`, `device`, `verbose`.

    Parameters
    ----------
    random_state : int, RandomState instance or None, default=None
        Seed of the starting weights, of the folds of ``cv="auto"``, of early stopping and of the
        batches of Adam. Give an int for results that can be repeated.
    n_channels : int or "auto", default="auto"
        Dimension of the state. "auto" means 96 for at least 16 outputs or more than 10 000 samples,
        otherwise 64 for at least 8 outputs, and otherwise 48. With ``lift="pad"`` it is at least
        the number of inputs. With more channels the flow can separate classes that it cannot
        separate in fewer.
    alpha : float, sequence of float or "auto", default="auto"
        Strength of the L2 penalty ½ alpha (‖K‖² + ‖W‖² + ‖V‖²). Each value of a sequence is a
        candidate: all are trained, and at most two of them are averaged, with weights that make the
        held-out loss low. "auto": see the table below. Where nothing is held out, it means 1 / n,
        but at most 0.01, and 1e-4 in `partial_fit`.
    cv : "auto", int, splitter, iterable or None, default="auto"
        Which samples are held out.

        - "auto": eight folds, stratified by class and shuffled. Up to 1250 samples each of them is
          held out in turn. With more samples there is enough to judge by after fewer splits; see
          the table below.
        - An int: this number of folds, stratified by class and not shuffled, as everywhere in
          scikit-learn. At most as many as the largest class has samples.
        - A splitter or an iterable of (train, test) indices: these splits.
        - None: nothing, unless `early_stopping` is set. Then there is one network for each restart.

        "auto" and an int keep the samples of one group (see `groups` in `fit`), and copies of a
        row, on the same side of a split. A class with fewer samples than folds has at most one of
        them in each fold. A class with a single sample is always trained on.

        Some splits do not hold out all samples equally often, such as those of ``TimeSeriesSplit``,
        or leave a class out of training. They only choose the candidates and the number of
        iterations. The networks are then trained once more, on all samples.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes. They multiply the sample weights, in the training loss and in the
        held-out loss. "balanced" gives each class the same total weight. Not available where y
        holds several labels per sample.
    scheme : str, ButcherTableau or tuple (A, b) or (A, b, c), default="euler"
        The Runge-Kutta scheme. Explicit: "euler" (the residual network), "heun", "midpoint",
        "ralston2", "kutta3", "ralston3", "ssprk3", "rk4", "rk38". Implicit: "implicit_euler",
        "implicit_midpoint", "trapezoid", "sdirk2", "gauss4", "gauss6", "radau_iia3", "radau_iia5",
        "lobatto_iiia4", "lobatto_iiic4". Or your own tableau. An explicit scheme with
        s stages takes about s times as long as "euler", an implicit one 2 to 25 times as long. For
        ``vector_field="hamiltonian"`` there are also "symplectic_euler" and "stormer_verlet".
    N : int, default=2
        Number of layers, that is, of steps of the scheme. The vector field can change from layer to
        layer.
    h : float, default=0.5
        Length of a step. The features flow for the time N·h. Where steps are learned, this is their
        starting value.
    learn_step : bool or "simplex", default=False
        Whether the steps are trained. False: every step is h. True: each layer has its own step,
        which may become negative. "simplex": steps stay in {hℓ ≥ 0, Σ hℓ = N·h}, so that some may
        become exactly zero. A layer with the step zero does nothing and can be left out.
    vector_field : {"standard", "antisymmetric", "gradient_flow", "hamiltonian"}, \
            default="standard"
        The vector field f of the ODE y′ = f(y), with weights of its own in every layer.

        - "standard": f(y) = σ(K y + b).
        - "antisymmetric": the same with K + Kᵀ = -2 `damping` I. The flow neither explodes nor, if
          `damping` is small, forgets [2]_.
        - "gradient_flow": f(y) = -Kᵀ σ(K y + b). No two states move apart, in any layer: ‖K‖₂ is
          kept below the bound that the scheme needs for that, and learned steps lie between 0 and
          2h. The weights b of the scheme must be positive; those of "midpoint" are not.
        - "hamiltonian": with the halves y = (q, p) of the channels, q′ = K₂ᵀ σ(K₂ p + b₂) and
          p′ = -K₁ᵀ σ(K₁ q + b₁). The flow preserves volume, and so do "symplectic_euler",
          "stormer_verlet", "implicit_midpoint", "gauss4" and "gauss6". `n_channels` must be even.
    damping : float, default=0.0
        The damping γ of ``vector_field="antisymmetric"``. It has no effect on other vector fields.
    stage_guard : {"bound", "reject"}, default="bound"
        How training with an implicit scheme avoids layers whose equations have no solution. It has
        no effect on explicit schemes.

        - "bound": K is kept in a set where the equations of every layer have exactly one solution
          for any sample. Learned steps lie between -2h and 2h. Since the bound on K must hold for
          the longest step, it restricts K more than with fixed steps. With
          ``constraint="spectral"``, the smaller of the two bounds holds for all singular values.
          "sphere" and "orthogonal" raise an error where they do not imply the bound on K.
        - "reject": K is free. A trial step of the solver is rejected where the equations cannot be
          solved. Training may then end at the border of what can be solved, and `predict` raises an
          error for a sample beyond it.
    smoothness : float, default=0.0
        Strength β of the penalty ½ β Σ ‖Uℓ⁺¹ - Uℓ‖² / h on controls U = (K, b) that change from
        layer to layer.
    constraint : {"spectral", "sphere", "orthogonal"} or None, default=None
        What training keeps the weights K and biases b of every layer to, at each iteration. None
        lets them be free.

        - "spectral": no singular value of K is larger than `constraint_norm`.
        - "sphere": every row of [K b] has the norm `constraint_norm`.
        - "orthogonal": K is `constraint_norm` times an orthogonal matrix; b is free.
    constraint_norm : float, default=1.0
        The norm that `constraint` refers to.
    lift : {"nonlinear", "linear", "pad"}, default="nonlinear"
        How the inputs x become the first state y⁰. "nonlinear": y⁰ = σ(V x + ν), a learned hidden
        layer. "linear": y⁰ = V x + ν. "pad": x is padded with zeros, so that `n_channels` must be
        at least the number of inputs.
    activation : {"tanh", "relu", "softplus", "identity", "mixed"}, default="relu"
        The function σ of the vector field σ(K y + b). "mixed" is tanh on the first half of the
        channels and relu on the others.
    loss : {"log_loss", "squared_error"}, default="log_loss"
        "log_loss": cross-entropy; where y holds several labels per sample, the mean of their binary
        cross-entropies. "squared_error": half the squared error of the logistic outputs, as in the
        paper [1]_; not available for several labels.
    features : {"auto", "given", "piecewise", "both"}, default="auto"
        What the networks see of the features.

        - "given": the features themselves.
        - "piecewise": each feature is cut at its quantiles into up to eight pieces, and every piece
          is an input of its own. So a network can respond differently in each piece, and outliers
          are clipped. Features with at most ten values stay as they are.
        - "both": some candidates see the features as given, some see them in pieces. This needs
          held-out samples.
        - "auto": "both" for up to 20 000 samples if samples are held out and some feature has more
          than ten values. Otherwise "given", as well as for sparse X, with ``lift="pad"`` and in
          `partial_fit`.

        The pieces of sparse features are dense. They are computed anew for some rows at a time, so
        that memory stays bounded.
    scoring : str, callable or "auto", default="auto"
        What chooses iterates and candidates on the held-out samples. "auto" is the loss. Otherwise
        the name of a scorer of scikit-learn, such as "roc_auc", or a callable (estimator, X, y) ->
        float that does not use X. Training lowers the loss in any case. Where a split has no score,
        such as "roc_auc" without positive samples, the loss chooses.
    n_restarts : int, default=1
        Number of networks that are trained from different random starts in each split. All are
        averaged.
    early_stopping : bool, default=False
        Only with ``cv=None``: whether to hold out a fraction of the samples to decide when to stop.
        They are never trained on.
    validation_fraction : float, default=0.1
        The fraction of the samples that `early_stopping` holds out.
    solver : {"auto", "lbfgs", "gd", "adam", "adam+lbfgs"}, default="auto"
        - "auto": "lbfgs" for up to 700 samples, "adam" for more.
        - "lbfgs": L-BFGS with a line search.
        - "adam": Adam on mini-batches.
        - "adam+lbfgs": Adam for the first 60 percent of the iterations, then L-BFGS from the best
          point. With ``batch_size=n_samples`` it helps where L-BFGS alone gets stuck.
        - "gd": gradient descent with a line search, as in the published experiments.
    max_iter : int, default=200
        Largest number of iterations; with Adam, of epochs.
    tol : float, default=1e-4
        Training of a network ends when its objective has fallen by less than `tol` over the last
        `n_iter_no_change` iterations, or when its held-out loss has not fallen by `tol` for as many
        iterations.
    n_iter_no_change : int or "auto", default="auto"
        Number of iterations that `tol` refers to. "auto" means 20, or 5 epochs with
        ``solver="adam"``.
    max_time : float or None, default=None
        Time in seconds after which `fit` ends training. The best iterate of every network is kept.
        Training ends with the iteration that exceeds the time; with Adam, that is an epoch. If
        networks are trained one after the other, each gets an equal share of the time. Networks
        that have not begun when the time is up are left out, with a warning. The time includes the
        few seconds that the first fit of a process needs to load the kernels. None means no limit.
        It has no effect in `partial_fit`.
    warm_start : bool, default=False
        Whether `fit` and `fit_blocks` continue from the last fit instead of starting at random.
        Folds and `feature_map_` then stay as they were. Give the same samples in the same order:
        otherwise a network may be judged by samples that it was trained on, and `fit` warns. If
        there are far more inputs than samples, whatever `V_` had learned in directions that the new
        samples do not span is lost.
    batch_size : int or "auto", default="auto"
        Largest number of samples in a mini-batch. The batches of an epoch differ in size by at most
        one sample. "auto" makes fifty batches per epoch, but of at least 32 and at most 500
        samples. With ``batch_size=n_samples``, Adam uses the full gradient.
    learning_rate_init : float, default=0.01
        Learning rate in the first epoch.
    learning_rate_decay : float, default=0.0
        In epoch e, counted from 0, the learning rate is learning_rate_init / (1 + decay · e). In
        `partial_fit` it stays learning_rate_init.
    line_search : {"armijo", "lipschitz"}, default="armijo"
        "armijo" tries twice the last step, but at most 10, and halves it until the objective falls
        enough. "lipschitz" adapts an estimate of the Lipschitz constant of the gradient. Both are
        from the published experiments.
    n_jobs : int, default=None
        Number of threads in `fit` and in prediction. None uses all cores, but one thread inside the
        workers of a parallel search. -1 uses all cores. Small problems use one thread in any case.
        The results have the same bits for any number of threads. It has no effect on arrays of CuPy
        or PyTorch.
    device : {"cpu", "cuda"} or None, default=None
        Where to compute. None: where X is; if X is on a GPU, or with array API dispatch, arrays of
        CuPy and PyTorch stay in their library and on their device. "cuda": X is on the host, CuPy
        computes on the GPU, and results come back to the host. "cpu": always compute on the host
        with NumPy, even if X is on a GPU.
    verbose : int, default=0
        1 shows one line on a terminal, which is updated: the iteration, the losses of the best
        candidate still being trained, how many networks are left, and the time. In files, pipes and
        notebooks it reports every tenth of `max_iter` iterations. 2 reports every iteration. A last
        message says how training ended. Messages go to the logger "skode" at level INFO: to the
        handlers of the application, which then replace the line, or to stderr if there are none.

    Attributes
    ----------
    K_ : ndarray of shape (n_networks, N, n_channels, n_channels)
        Weights of the layers. The networks are ordered by candidate, then by split, then by
        restart; candidates with the weight zero are left out.
    b_ : ndarray of shape (n_networks, N, n_channels)
        Biases of the layers.
    h_ : ndarray of shape (n_networks, N)
        Steps of the layers.
    W_ : ndarray of shape (n_networks, n_outputs, n_channels)
        Weights of the readout.
    mu_ : ndarray of shape (n_networks, n_outputs)
        Biases of the readout.
    V_, nu_ : ndarrays of shapes (n_networks, n_channels, n_inputs) and (n_networks, n_channels)
        Weights and biases of the lift; not there with ``lift="pad"``. The columns of inputs that a
        network does not see are zero.
    network_weights_ : ndarray of shape (n_networks,)
        Weight of each network in the average. They add up to one.
    network_features_ : list of str of length n_networks
        What each network sees: "given" or "piecewise".
    feature_map_ : FeatureMap
        ``feature_map_.transform(X)`` returns the inputs of the networks, of shape (n_samples,
        n_inputs). ``feature_map_.views`` says which columns belong to "given" and to "piecewise".
    solver_ : str
        The solver that was used.
    n_channels_, n_networks_, n_splits_ : int
        Number of channels, of networks in the average, and of splits that hold samples out (0 if
        there are none).
    features_ : str
        What the networks see: "given", "piecewise" or "both".
    n_iter_no_change_, batch_size_ : int
        The values used in training; `batch_size_` only with Adam.
    alpha_ : float
        The penalty of the candidate with the largest weight.
    candidates_ : dict of ndarrays of shape (n_candidates,)
        What was tried: "features" ("given" or "piecewise"), "alpha", "validation_loss" (the mean
        held-out loss) and "weight". This and the following four are only there if samples are held
        out.
    validation_loss_ : ndarray of shape (n_candidates, n_splits, n_restarts)
        Lowest held-out loss of each network; with `scoring`, the lowest negative score. Candidates
        that were clearly worse were stopped early.
    validation_curve_ : ndarray of shape (n_candidates, n_splits, n_restarts, n_iterations + 1)
        Held-out loss at the start and after each iteration; NaN after a network has ended.
    oof_decision_function_ : ndarray of shape (n_samples,), (n_samples, n_classes or n_labels)
        `decision_function` of each sample, from the networks that were not trained on it. NaN for
        samples that are never held out.
    oof_score_ : float
        Accuracy on held-out samples, weighted with `sample_weight`; with several labels, the share
        of samples with all labels right, as in `score`. It is optimistic for small n, because the
        held-out samples also chose the iterates. NaN, with a warning, if a class is never held out.
    loss_ : ndarray of shape (n_networks,)
        Final objective of each network, penalty included.
    loss_curve_ : ndarray of shape (n_iterations + 1, n_networks)
        Objective at the start and after each iteration, one column per network; NaN after a network
        has ended.
    n_iter_ : int
        Largest number of iterations of a network; with Adam, of epochs.
    network_n_iter_ : ndarray of shape (n_networks,)
        Number of iterations of each network.
    best_iter_ : ndarray of shape (n_networks,)
        The iteration that was kept: the one with the lowest held-out loss, or with the lowest
        objective if nothing is held out.
    n_evaluations_ : ndarray of shape (n_networks,)
        Number of evaluations of the objective on all samples.
    stop_reason_ : list of str of length n_networks
        Why the training of each network ended: "converged"; "early stopping" (the held-out loss no
        longer falls); "max_iter"; "max_time"; "behind" (another candidate is clearly better); "slow
        progress" or "no acceptable step" (the gradient is large, but only tiny steps lower the
        objective, or none: scale X); "callback" (it has ended `fit`); "interrupted" (Ctrl-C);
        "refit" (trained on all samples after the splits had chosen, see `cv`).
    classes_ : ndarray of shape (n_classes,) or (n_labels,)
        Class labels. With several labels per sample, the column numbers of y.
    n_outputs_ : int
        Number of outputs: 1 for two classes, otherwise the number of classes or labels.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X has names that are all strings.

    See Also
    --------
    FeedForwardClassifier : The same networks without the ODE.

    Notes
    -----
    What "auto" means depends on the number of samples n. For `alpha` it is the sum of the sample
    weights, if these are whole numbers:

    ====================  =====================  =====================  =======================
    Parameter             n ≤ 700                700 < n ≤ 10 000       n > 10 000
    ====================  =====================  =====================  =======================
    `solver`              "lbfgs"                "adam"                 "adam"
    `n_iter_no_change`    20                     5                      5
    `n_channels`          48                     48                     96
    `features`            "both"                 "both"                 "both", above 20 000
                                                                        samples "given"
    `alpha` for "both"    0.5/n, 2/n given;      1/n given;             1/n given;
                          2/n, 8/n in pieces     2/n in pieces          2/n in pieces
    `alpha` otherwise     0.1/n, 0.5/n,          0.5/n, 4/n,            1/n
                          2/n, 8/n               32/n
    splits of `cv`        8 of 8                 10 000/n, between      3, above 40 000 samples
                                                 8 and 3                2, above 60 000 one
    ====================  =====================  =====================  =======================

    The fitted attributes say what was chosen: `solver_`, `n_channels_`, `features_`, `n_splits_`,
    `n_networks_`, `n_iter_no_change_`, `batch_size_` and `alpha_`.

    References
    ----------
    .. [1] M. Benning, E. Celledoni, M. J. Ehrhardt, B. Owren, C.-B. Schönlieb, "Deep learning as
       optimal control problems", IFAC-PapersOnLine 54 (2021).
    .. [2] E. Haber, L. Ruthotto, "Stable architectures for deep neural networks", Inverse Problems
       34 (2017).

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
        random_state=None,
        n_channels="auto",
        alpha="auto",
        cv="auto",
        class_weight=None,
        vector_field="standard",
        damping=0.0,
        stage_guard="bound",
        smoothness=0.0,
        constraint=None,
        constraint_norm=1.0,
        lift="nonlinear",
        activation="relu",
        loss="log_loss",
        features="auto",
        scoring="auto",
        n_restarts=1,
        early_stopping=False,
        validation_fraction=0.1,
        solver="auto",
        max_iter=200,
        tol=1e-4,
        n_iter_no_change="auto",
        max_time=None,
        warm_start=False,
        batch_size="auto",
        learning_rate_init=0.01,
        learning_rate_decay=0.0,
        line_search="armijo",
        n_jobs=None,
        device=None,
        verbose=0,
    ):
        self.scheme = scheme
        self.N = N
        self.h = h
        self.learn_step = learn_step
        self.random_state = random_state
        self.n_channels = n_channels
        self.alpha = alpha
        self.cv = cv
        self.class_weight = class_weight
        self.vector_field = vector_field
        self.damping = damping
        self.stage_guard = stage_guard
        self.smoothness = smoothness
        self.constraint = constraint
        self.constraint_norm = constraint_norm
        self.lift = lift
        self.activation = activation
        self.loss = loss
        self.features = features
        self.scoring = scoring
        self.n_restarts = n_restarts
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.max_time = max_time
        self.warm_start = warm_start
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.learning_rate_decay = learning_rate_decay
        self.line_search = line_search
        self.n_jobs = n_jobs
        self.device = device
        self.verbose = verbose


class FeedForwardClassifier(FeedForward, NetworkClassifier):
    """Feed-forward classifier: the networks of `ODENetClassifier` without the ODE.

    Scale the features first, for example with ``StandardScaler`` in a pipeline. The defaults are
    meant for features of zero mean and unit variance.

    A layer is h σ(K y + b) instead of y + h σ(K y + b). Apart from that, only the defaults of N and
    h and the spread of the starting weights differ. So with equal parameters, a difference between
    the two is due to the ODE.

    By default the model is a weighted average of networks. The samples are dealt to folds, and each
    network is trained on all folds but one. Its loss on that fold, the held-out loss, decides when
    training stops, and how much each candidate counts. A candidate is a penalty `alpha` together
    with a view of the features, see `features`.

    The parameters are listed in this order:

    - Usually set: `random_state`, `n_channels`, `alpha`, `cv`, `class_weight`.
    - To study the layers: `N`, `h`, `learn_step`, `smoothness`, `constraint`,
      `constraint_norm`.
    - The network: `lift`, `activation`, `loss`, `features`.
    - What is held out and what is averaged: `scoring`, `n_restarts`, `early_stopping`,
      `validation_fraction`.
    - Training: `solver`, `max_iter`, `tol`, `n_iter_no_change`, `max_time`,
      `warm_start`.
    - Only for Adam: `batch_size`, `learning_rate_init`, `learning_rate_decay`.
    - Only for ``solver="gd"``: `line_search`.
    - Computing: `n_jobs`, `device`, `verbose`.

    Parameters
    ----------
    random_state : int, RandomState instance or None, default=None
        Seed of the starting weights, of the folds of ``cv="auto"``, of early stopping and of the
        batches of Adam. Give an int for results that can be repeated.
    n_channels : int or "auto", default="auto"
        Width of the layers. "auto" means 96 for at least 16 outputs or more than 10 000 samples,
        otherwise 64 for at least 8 outputs, and otherwise 48. With ``lift="pad"`` it is at least
        the number of inputs.
    alpha : float, sequence of float or "auto", default="auto"
        Strength of the L2 penalty ½ alpha (‖K‖² + ‖W‖² + ‖V‖²). Each value of a sequence is a
        candidate: all are trained, and at most two of them are averaged, with weights that make the
        held-out loss low. "auto": see the table below. Where nothing is held out, it means 1 / n,
        but at most 0.01, and 1e-4 in `partial_fit`.
    cv : "auto", int, splitter, iterable or None, default="auto"
        Which samples are held out.

        - "auto": eight folds, stratified by class and shuffled. Up to 1250 samples each of them is
          held out in turn. With more samples there is enough to judge by after fewer splits; see
          the table below.
        - An int: this number of folds, stratified by class and not shuffled, as everywhere in
          scikit-learn. At most as many as the largest class has samples.
        - A splitter or an iterable of (train, test) indices: these splits.
        - None: nothing, unless `early_stopping` is set. Then there is one network for each restart.

        "auto" and an int keep the samples of one group (see `groups` in `fit`), and copies of a
        row, on the same side of a split. A class with fewer samples than folds has at most one of
        them in each fold. A class with a single sample is always trained on.

        Some splits do not hold out all samples equally often, such as those of ``TimeSeriesSplit``,
        or leave a class out of training. They only choose the candidates and the number of
        iterations. The networks are then trained once more, on all samples.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes. They multiply the sample weights, in the training loss and in the
        held-out loss. "balanced" gives each class the same total weight. Not available where y
        holds several labels per sample.
    N : int, default=1
        Number of layers after the lift.
    h : float, default=1.0
        Factor of a layer. Where factors are learned, this is their starting value.
    learn_step : bool or "simplex", default=False
        Whether the factors h are trained. False: every factor is h. True: each layer has its own.
        "simplex": factors stay in {hℓ ≥ 0, Σ hℓ = N·h}. A layer whose factor becomes zero passes
        nothing on.
    smoothness : float, default=0.0
        Strength β of the penalty ½ β Σ ‖Uℓ⁺¹ - Uℓ‖² / h on controls U = (K, b) that change from
        layer to layer.
    constraint : {"spectral", "sphere", "orthogonal"} or None, default=None
        What training keeps the weights K and biases b of every layer to, at each iteration. None
        lets them be free.

        - "spectral": no singular value of K is larger than `constraint_norm`.
        - "sphere": every row of [K b] has the norm `constraint_norm`.
        - "orthogonal": K is `constraint_norm` times an orthogonal matrix; b is free.
    constraint_norm : float, default=1.0
        The norm that `constraint` refers to.
    lift : {"nonlinear", "linear", "pad"}, default="nonlinear"
        How the inputs x become the first state y⁰. "nonlinear": y⁰ = σ(V x + ν), a learned hidden
        layer. "linear": y⁰ = V x + ν. "pad": x is padded with zeros, so that `n_channels` must be
        at least the number of inputs.
    activation : {"tanh", "relu", "softplus", "identity", "mixed"}, default="relu"
        The function σ of the layers. "mixed" is tanh on the first half of the channels and relu on
        the others.
    loss : {"log_loss", "squared_error"}, default="log_loss"
        "log_loss": cross-entropy; where y holds several labels per sample, the mean of their binary
        cross-entropies. "squared_error": half the squared error of the logistic outputs; not
        available for several labels.
    features : {"auto", "given", "piecewise", "both"}, default="auto"
        What the networks see of the features.

        - "given": the features themselves.
        - "piecewise": each feature is cut at its quantiles into up to eight pieces, and every piece
          is an input of its own. So a network can respond differently in each piece, and outliers
          are clipped. Features with at most ten values stay as they are.
        - "both": some candidates see the features as given, some see them in pieces. This needs
          held-out samples.
        - "auto": "both" for up to 20 000 samples if samples are held out and some feature has more
          than ten values. Otherwise "given", as well as for sparse X, with ``lift="pad"`` and in
          `partial_fit`.

        The pieces of sparse features are dense. They are computed anew for some rows at a time, so
        that memory stays bounded.
    scoring : str, callable or "auto", default="auto"
        What chooses iterates and candidates on the held-out samples. "auto" is the loss. Otherwise
        the name of a scorer of scikit-learn, such as "roc_auc", or a callable (estimator, X, y) ->
        float that does not use X. Training lowers the loss in any case. Where a split has no score,
        such as "roc_auc" without positive samples, the loss chooses.
    n_restarts : int, default=1
        Number of networks that are trained from different random starts in each split. All are
        averaged.
    early_stopping : bool, default=False
        Only with ``cv=None``: whether to hold out a fraction of the samples to decide when to stop.
        They are never trained on.
    validation_fraction : float, default=0.1
        The fraction of the samples that `early_stopping` holds out.
    solver : {"auto", "lbfgs", "gd", "adam", "adam+lbfgs"}, default="auto"
        - "auto": "lbfgs" for up to 700 samples, "adam" for more.
        - "lbfgs": L-BFGS with a line search.
        - "adam": Adam on mini-batches.
        - "adam+lbfgs": Adam for the first 60 percent of the iterations, then L-BFGS from the best
          point. With ``batch_size=n_samples`` it helps where L-BFGS alone gets stuck.
        - "gd": gradient descent with a line search, as in the published experiments.
    max_iter : int, default=200
        Largest number of iterations; with Adam, of epochs.
    tol : float, default=1e-4
        Training of a network ends when its objective has fallen by less than `tol` over the last
        `n_iter_no_change` iterations, or when its held-out loss has not fallen by `tol` for as many
        iterations.
    n_iter_no_change : int or "auto", default="auto"
        Number of iterations that `tol` refers to. "auto" means 20, or 5 epochs with
        ``solver="adam"``.
    max_time : float or None, default=None
        Time in seconds after which `fit` ends training. The best iterate of every network is kept.
        Training ends with the iteration that exceeds the time; with Adam, that is an epoch. If
        networks are trained one after the other, each gets an equal share of the time. Networks
        that have not begun when the time is up are left out, with a warning. The time includes the
        few seconds that the first fit of a process needs to load the kernels. None means no limit.
        It has no effect in `partial_fit`.
    warm_start : bool, default=False
        Whether `fit` and `fit_blocks` continue from the last fit instead of starting at random.
        Folds and `feature_map_` then stay as they were. Give the same samples in the same order:
        otherwise a network may be judged by samples that it was trained on, and `fit` warns. If
        there are far more inputs than samples, whatever `V_` had learned in directions that the new
        samples do not span is lost.
    batch_size : int or "auto", default="auto"
        Largest number of samples in a mini-batch. The batches of an epoch differ in size by at most
        one sample. "auto" makes fifty batches per epoch, but of at least 32 and at most 500
        samples. With ``batch_size=n_samples``, Adam uses the full gradient.
    learning_rate_init : float, default=0.01
        Learning rate in the first epoch.
    learning_rate_decay : float, default=0.0
        In epoch e, counted from 0, the learning rate is learning_rate_init / (1 + decay · e). In
        `partial_fit` it stays learning_rate_init.
    line_search : {"armijo", "lipschitz"}, default="armijo"
        "armijo" tries twice the last step, but at most 10, and halves it until the objective falls
        enough. "lipschitz" adapts an estimate of the Lipschitz constant of the gradient. Both are
        from the published experiments.
    n_jobs : int, default=None
        Number of threads in `fit` and in prediction. None uses all cores, but one thread inside the
        workers of a parallel search. -1 uses all cores. Small problems use one thread in any case.
        The results have the same bits for any number of threads. It has no effect on arrays of CuPy
        or PyTorch.
    device : {"cpu", "cuda"} or None, default=None
        Where to compute. None: where X is; if X is on a GPU, or with array API dispatch, arrays of
        CuPy and PyTorch stay in their library and on their device. "cuda": X is on the host, CuPy
        computes on the GPU, and results come back to the host. "cpu": always compute on the host
        with NumPy, even if X is on a GPU.
    verbose : int, default=0
        1 shows one line on a terminal, which is updated: the iteration, the losses of the best
        candidate still being trained, how many networks are left, and the time. In files, pipes and
        notebooks it reports every tenth of `max_iter` iterations. 2 reports every iteration. A last
        message says how training ended. Messages go to the logger "skode" at level INFO: to the
        handlers of the application, which then replace the line, or to stderr if there are none.

    Attributes
    ----------
    K_ : ndarray of shape (n_networks, N, n_channels, n_channels)
        Weights of the layers. The networks are ordered by candidate, then by split, then by
        restart; candidates with the weight zero are left out.
    b_ : ndarray of shape (n_networks, N, n_channels)
        Biases of the layers.
    h_ : ndarray of shape (n_networks, N)
        Factors of the layers.
    W_ : ndarray of shape (n_networks, n_outputs, n_channels)
        Weights of the readout.
    mu_ : ndarray of shape (n_networks, n_outputs)
        Biases of the readout.
    V_, nu_ : ndarrays of shapes (n_networks, n_channels, n_inputs) and (n_networks, n_channels)
        Weights and biases of the lift; not there with ``lift="pad"``. The columns of inputs that a
        network does not see are zero.
    network_weights_ : ndarray of shape (n_networks,)
        Weight of each network in the average. They add up to one.
    network_features_ : list of str of length n_networks
        What each network sees: "given" or "piecewise".
    feature_map_ : FeatureMap
        ``feature_map_.transform(X)`` returns the inputs of the networks, of shape (n_samples,
        n_inputs). ``feature_map_.views`` says which columns belong to "given" and to "piecewise".
    solver_ : str
        The solver that was used.
    n_channels_, n_networks_, n_splits_ : int
        Number of channels, of networks in the average, and of splits that hold samples out (0 if
        there are none).
    features_ : str
        What the networks see: "given", "piecewise" or "both".
    n_iter_no_change_, batch_size_ : int
        The values used in training; `batch_size_` only with Adam.
    alpha_ : float
        The penalty of the candidate with the largest weight.
    candidates_ : dict of ndarrays of shape (n_candidates,)
        What was tried: "features" ("given" or "piecewise"), "alpha", "validation_loss" (the mean
        held-out loss) and "weight". This and the following four are only there if samples are held
        out.
    validation_loss_ : ndarray of shape (n_candidates, n_splits, n_restarts)
        Lowest held-out loss of each network; with `scoring`, the lowest negative score. Candidates
        that were clearly worse were stopped early.
    validation_curve_ : ndarray of shape (n_candidates, n_splits, n_restarts, n_iterations + 1)
        Held-out loss at the start and after each iteration; NaN after a network has ended.
    oof_decision_function_ : ndarray of shape (n_samples,), (n_samples, n_classes or n_labels)
        `decision_function` of each sample, from the networks that were not trained on it. NaN for
        samples that are never held out.
    oof_score_ : float
        Accuracy on held-out samples, weighted with `sample_weight`; with several labels, the share
        of samples with all labels right, as in `score`. It is optimistic for small n, because the
        held-out samples also chose the iterates. NaN, with a warning, if a class is never held out.
    loss_ : ndarray of shape (n_networks,)
        Final objective of each network, penalty included.
    loss_curve_ : ndarray of shape (n_iterations + 1, n_networks)
        Objective at the start and after each iteration, one column per network; NaN after a network
        has ended.
    n_iter_ : int
        Largest number of iterations of a network; with Adam, of epochs.
    network_n_iter_ : ndarray of shape (n_networks,)
        Number of iterations of each network.
    best_iter_ : ndarray of shape (n_networks,)
        The iteration that was kept: the one with the lowest held-out loss, or with the lowest
        objective if nothing is held out.
    n_evaluations_ : ndarray of shape (n_networks,)
        Number of evaluations of the objective on all samples.
    stop_reason_ : list of str of length n_networks
        Why the training of each network ended: "converged"; "early stopping" (the held-out loss no
        longer falls); "max_iter"; "max_time"; "behind" (another candidate is clearly better); "slow
        progress" or "no acceptable step" (the gradient is large, but only tiny steps lower the
        objective, or none: scale X); "callback" (it has ended `fit`); "interrupted" (Ctrl-C);
        "refit" (trained on all samples after the splits had chosen, see `cv`).
    classes_ : ndarray of shape (n_classes,) or (n_labels,)
        Class labels. With several labels per sample, the column numbers of y.
    n_outputs_ : int
        Number of outputs: 1 for two classes, otherwise the number of classes or labels.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X has names that are all strings.

    See Also
    --------
    ODENetClassifier : The neural ODE.

    Notes
    -----
    What "auto" means depends on the number of samples n. For `alpha` it is the sum of the sample
    weights, if these are whole numbers:

    ====================  =====================  =====================  =======================
    Parameter             n ≤ 700                700 < n ≤ 10 000       n > 10 000
    ====================  =====================  =====================  =======================
    `solver`              "lbfgs"                "adam"                 "adam"
    `n_iter_no_change`    20                     5                      5
    `n_channels`          48                     48                     96
    `features`            "both"                 "both"                 "both", above 20 000
                                                                        samples "given"
    `alpha` for "both"    0.5/n, 2/n given;      1/n given;             1/n given;
                          2/n, 8/n in pieces     2/n in pieces          2/n in pieces
    `alpha` otherwise     0.1/n, 0.5/n,          0.5/n, 4/n,            1/n
                          2/n, 8/n               32/n
    splits of `cv`        8 of 8                 10 000/n, between      3, above 40 000 samples
                                                 8 and 3                2, above 60 000 one
    ====================  =====================  =====================  =======================

    The fitted attributes say what was chosen: `solver_`, `n_channels_`, `features_`, `n_splits_`,
    `n_networks_`, `n_iter_no_change_`, `batch_size_` and `alpha_`.

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
        random_state=None,
        n_channels="auto",
        alpha="auto",
        cv="auto",
        class_weight=None,
        smoothness=0.0,
        constraint=None,
        constraint_norm=1.0,
        lift="nonlinear",
        activation="relu",
        loss="log_loss",
        features="auto",
        scoring="auto",
        n_restarts=1,
        early_stopping=False,
        validation_fraction=0.1,
        solver="auto",
        max_iter=200,
        tol=1e-4,
        n_iter_no_change="auto",
        max_time=None,
        warm_start=False,
        batch_size="auto",
        learning_rate_init=0.01,
        learning_rate_decay=0.0,
        line_search="armijo",
        n_jobs=None,
        device=None,
        verbose=0,
    ):
        self.N = N
        self.h = h
        self.learn_step = learn_step
        self.random_state = random_state
        self.n_channels = n_channels
        self.alpha = alpha
        self.cv = cv
        self.class_weight = class_weight
        self.smoothness = smoothness
        self.constraint = constraint
        self.constraint_norm = constraint_norm
        self.lift = lift
        self.activation = activation
        self.loss = loss
        self.features = features
        self.scoring = scoring
        self.n_restarts = n_restarts
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.max_time = max_time
        self.warm_start = warm_start
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.learning_rate_decay = learning_rate_decay
        self.line_search = line_search
        self.n_jobs = n_jobs
        self.device = device
        self.verbose = verbose
