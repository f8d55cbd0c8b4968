"""ODENetClassifier and FeedForwardClassifier: parameters and their documentation."""

from __future__ import annotations

from sklearn.utils._param_validation import StrOptions

from ._estimator import NetworkClassifier
from .engine.constraints import both, bounded_steps
from .engine.networks import feed_forward, ode_net
from .engine.schemes import TABLEAUX, as_tableau
from .engine.solvability import solvable_stages
from .engine.tableaux import ButcherTableau

__all__ = ["FeedForwardClassifier", "ODENetClassifier"]

LONGEST_STEP = 2.0  # times h, for learned steps of implicit schemes whose controls are bounded


class ODENetClassifier(NetworkClassifier):
    """Neural ODE classifier: a residual network as a Runge-Kutta discretisation.

    The features are the initial value of the ODE y′ = tanh(K(t) y + b(t)).  They are carried to
    time N·h by N steps of a Runge-Kutta scheme, and an affine readout of the final state gives the
    logits.  K, b, the readout and, if wished, the steps h are trained; the gradient is the discrete
    costate (adjoint) equation of the scheme, exact to rounding.

    Parameters
    ----------
    scheme : str, ButcherTableau or tuple (A, b, c), default="euler"
        The Runge-Kutta scheme.  Explicit: "euler" (the residual network), "heun", "midpoint",
        "ralston2", "kutta3", "ralston3", "ssprk3", "rk4", "rk38".  Implicit: "implicit_euler",
        "implicit_midpoint", "trapezoid", "sdirk2", "gauss4", "gauss6", "radau_iia3", "radau_iia5",
        "lobatto_iiia4", "lobatto_iiic4".  Or a tableau of your own.  An explicit scheme costs what
        "euler" costs times the number of its stages, an implicit one several times more.
    N : int, default=3
        Number of layers, that is of steps of the scheme.
    h : float, default=1.0
        Length of a step, in units of time; the start value where the steps are learned.
    learn_step : bool or "simplex", default=False
        Whether each layer's step is trained: freely, in which case it may become negative, or on
        the simplex {hℓ ≥ 0, Σ hℓ = N·h}, which in deep networks makes many of them exactly zero.
    stage_guard : {"bound", "reject"}, default="bound"
        What implicit schemes do against stage equations without a solution, which explicit ones do
        not have.  "bound": every trial K is projected onto a set on which each stage equation has
        exactly one solution, whatever the sample.  Learned steps are then kept within 2h, and since
        the set is the smaller the longer a step may become, it is smaller than for fixed ones.
        "reject": a trial with a stage equation that cannot be solved is only rejected, and a
        shorter step tried.  Then training may end at the border of what can be solved, and
        `predict` may meet a sample beyond it, which is an error.
    n_channels : int, default=None
        Dimension of the state; features are padded with zeros.  None means n_features.  More
        channels let the flow do what is topologically impossible in fewer dimensions.
    activation : {"tanh", "relu", "softplus", "identity"}, default="tanh"
        The function σ of the vector field σ(K y + b).
    loss : {"log_loss", "squared_error"}, default="log_loss"
        Cross-entropy, or half the squared error of the logistic outputs as in the paper [1]_.
    alpha : float, default=3e-3
        Strength of the L2 penalty ½ alpha (‖K‖² + ‖W‖²).
    solver : {"gd"}, default="gd"
        Gradient descent with backtracking, as published.
    line_search : {"armijo", "lipschitz"}, default="armijo"
        How steps of gradient descent are found: "armijo" tries twice the last step and halves it
        until the objective falls enough; "lipschitz" adapts an estimate of the gradient's Lipschitz
        constant.  Both are of the published experiments.
    max_iter : int, default=500
        Largest number of iterations.
    tol : float, default=1e-4
        Training ends once the objective has fallen by less than `tol` over the last
        `n_iter_no_change` iterations; see `stop_reason_`.
    n_iter_no_change : int, default=10
        See `tol`.
    n_members : int, default=1
        Number of networks, trained side by side from different random starts; their predicted
        probabilities are averaged.
    verbose : int, default=0
        1 logs every tenth of `max_iter` and how training ended, 2 every iteration, to the logger
        "skode" at level INFO.  Where the application has not configured logging, the lines appear
        on stderr.
    random_state : int, RandomState instance or None, default=None
        Determines the random start of K and b.

    Attributes
    ----------
    K_ : ndarray of shape (n_members, N, n_channels, n_channels)
        Weights of the layers.
    b_ : ndarray of shape (n_members, N, n_channels)
        Biases of the layers.
    h_ : ndarray of shape (n_members, N)
        Steps of the layers.
    W_ : ndarray of shape (n_members, n_outputs, n_channels)
        Weights of the readout.
    mu_ : ndarray of shape (n_members, n_outputs)
        Biases of the readout.
    loss_ : ndarray of shape (n_members,)
        Final objective, penalty included.
    loss_curve_ : ndarray of shape (n_members, n_iterations + 1)
        Objective at the start and after each iteration; NaN after a member has ended.
    n_iter_ : ndarray of shape (n_members,)
        Iterations of this fit.
    n_evaluations_ : ndarray of shape (n_members,)
        Evaluations of the objective.
    stop_reason_ : ndarray of str of shape (n_members,)
        "converged", "max_iter", "slow progress" (the gradient is steep and yet only tiny steps
        lower the objective: scale X), "no acceptable step" or "interrupted".
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    n_outputs_ : int
        One for two classes, else their number.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where X has names that are all strings.

    See Also
    --------
    FeedForwardClassifier : The same network without the ODE.

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
    >>> network = ODENetClassifier(scheme="heun", tol=1e-3, random_state=0)
    >>> model = make_pipeline(StandardScaler(), network).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    _parameter_constraints: dict = {
        **NetworkClassifier._parameter_constraints,
        "scheme": [StrOptions(set(TABLEAUX)), ButcherTableau, tuple, list],
        "stage_guard": [StrOptions({"bound", "reject"})],
    }

    def __init__(
        self,
        scheme="euler",
        N=3,
        h=1.0,
        learn_step=False,
        *,
        stage_guard="bound",
        n_channels=None,
        activation="tanh",
        loss="log_loss",
        alpha=3e-3,
        solver="gd",
        line_search="armijo",
        max_iter=500,
        tol=1e-4,
        n_iter_no_change=10,
        n_members=1,
        verbose=0,
        random_state=None,
    ):
        self.scheme = scheme
        self.N = N
        self.h = h
        self.learn_step = learn_step
        self.stage_guard = stage_guard
        self.n_channels = n_channels
        self.activation = activation
        self.loss = loss
        self.alpha = alpha
        self.solver = solver
        self.line_search = line_search
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.n_members = n_members
        self.verbose = verbose
        self.random_state = random_state

    def _recipe(self):
        scheme = self.scheme
        if not isinstance(scheme, str):
            tableau = as_tableau(scheme)
            scheme = (tableau.A, tableau.b, tableau.c)
        return {"scheme": scheme, "activation": self.activation, "h": float(self.h)}

    def _network(self, recipe):
        return ode_net(as_tableau(recipe["scheme"]), recipe["activation"])

    def _more_advice(self):
        if self.stage_guard == "bound" or self._fitted_network().tableau.explicit:
            return ""
        return ", or stage_guard='bound', as stage equations may be about to lose their solution"

    def _constraint(self, layout, network):
        steps = super()._constraint(layout, network)
        if self.stage_guard == "reject" or network.tableau.explicit:
            return steps
        longest = self.h
        if self.learn_step == "simplex":
            longest *= self.N
        elif self.learn_step:
            longest *= LONGEST_STEP
            steps = bounded_steps(layout, longest)
        free = self.learn_step and self.learn_step != "simplex"
        return both(steps, solvable_stages(layout, network.tableau, longest, either_sign=free))


class FeedForwardClassifier(NetworkClassifier):
    """Feed-forward baseline: the network of `ODENetClassifier` without the ODE.

    Its layers are y⁺ = h σ(K y + b) instead of y⁺ = y + h σ(K y + b).  Everything else but the
    default of N, from the start to the training and the readout, is the same, so that with equal
    parameters a difference between the two is due to the ODE.

    Parameters
    ----------
    N : int, default=2
        Number of layers.
    h : float, default=1.0
        Factor of a layer; the start value where it is learned.
    learn_step : bool or "simplex", default=False
        Whether each layer's factor h is trained: freely, or on the simplex {hℓ ≥ 0, Σ hℓ = N·h}.  A
        layer whose factor becomes zero passes nothing on.
    n_channels : int, default=None
        Width of the layers; features are padded with zeros.  None means n_features.
    activation : {"tanh", "relu", "softplus", "identity"}, default="tanh"
        The function σ of the layers.
    loss : {"log_loss", "squared_error"}, default="log_loss"
        Cross-entropy, or half the squared error of the logistic outputs.
    alpha : float, default=3e-3
        Strength of the L2 penalty ½ alpha (‖K‖² + ‖W‖²).
    solver : {"gd"}, default="gd"
        Gradient descent with backtracking.
    line_search : {"armijo", "lipschitz"}, default="armijo"
        How steps of gradient descent are found; see `ODENetClassifier`.
    max_iter : int, default=500
        Largest number of iterations.
    tol : float, default=1e-4
        Training ends once the objective has fallen by less than `tol` over the last
        `n_iter_no_change` iterations; see `stop_reason_`.
    n_iter_no_change : int, default=10
        See `tol`.
    n_members : int, default=1
        Number of networks, trained side by side from different random starts; their predicted
        probabilities are averaged.
    verbose : int, default=0
        1 logs every tenth of `max_iter` and how training ended, 2 every iteration; see
        `ODENetClassifier`.
    random_state : int, RandomState instance or None, default=None
        Determines the random start of K and b.

    Attributes
    ----------
    K_ : ndarray of shape (n_members, N, n_channels, n_channels)
        Weights of the layers.
    b_ : ndarray of shape (n_members, N, n_channels)
        Biases of the layers.
    h_ : ndarray of shape (n_members, N)
        Factors of the layers.
    W_ : ndarray of shape (n_members, n_outputs, n_channels)
        Weights of the readout.
    mu_ : ndarray of shape (n_members, n_outputs)
        Biases of the readout.
    loss_, loss_curve_, n_iter_, n_evaluations_, stop_reason_ : ndarrays
        How training went; see `ODENetClassifier`.
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    n_outputs_ : int
        One for two classes, else their number.
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
    >>> network = FeedForwardClassifier(tol=1e-3, random_state=0)
    >>> model = make_pipeline(StandardScaler(), network).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    def __init__(
        self,
        N=2,
        h=1.0,
        learn_step=False,
        *,
        n_channels=None,
        activation="tanh",
        loss="log_loss",
        alpha=3e-3,
        solver="gd",
        line_search="armijo",
        max_iter=500,
        tol=1e-4,
        n_iter_no_change=10,
        n_members=1,
        verbose=0,
        random_state=None,
    ):
        self.N = N
        self.h = h
        self.learn_step = learn_step
        self.n_channels = n_channels
        self.activation = activation
        self.loss = loss
        self.alpha = alpha
        self.solver = solver
        self.line_search = line_search
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.n_members = n_members
        self.verbose = verbose
        self.random_state = random_state

    def _recipe(self):
        return {"activation": self.activation, "h": float(self.h)}

    def _network(self, recipe):
        return feed_forward(recipe["activation"])
