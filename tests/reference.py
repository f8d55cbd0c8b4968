"""An independent implementation of the mathematics: one member, plain loops, no engine code.

It supports complex numbers, so that derivatives can be computed by complex steps.  Controls may
have an additional first axis, for the same network with many different ones: one for each step.
"""

import numpy as np
from hypothesis import strategies as st

from skode.engine.controls import Controls


def by_half(first, second):
    """Apply `first` to the first half of the channels, the larger one, and `second` to the rest."""

    def of_both(z):
        n = z.shape[-2]
        channels = range(n)
        rows = [first(z[..., k, :]) if 2 * k < n else second(z[..., k, :]) for k in channels]
        return np.stack(rows, axis=-2)

    return of_both


# σ and σ′, both as functions of z, whose channels are on the last axis but one.
ACTIVATIONS = {
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "softplus": (lambda z: np.log1p(np.exp(z)), lambda z: 1 / (1 + np.exp(-z))),
    "identity": (lambda z: z, np.ones_like),
    "relu": (lambda z: np.where(z.real > 0, z, 0), lambda z: (z.real > 0).astype(float)),
}
ACTIVATIONS["mixed"] = tuple(map(by_half, ACTIVATIONS["tanh"], ACTIVATIONS["relu"]))


def logistic(z):
    return 1 / (1 + np.exp(-z))


QUANTILE = 0.8  # the quantile in the tests
WIDTHS = {"huber": 0.5, "quantile": 0.02}


def huber(r, width):
    """Return half the square of r up to a size, and a linear function beyond."""
    size = np.where(r.real < 0, -r, r)
    return np.where(size.real <= width, 0.5 * r**2, width * (size - 0.5 * width))


def smooth_pinball(z, c, quantile=QUANTILE):
    """Return the mean of the pinball loss over predictions uniformly in z ± width.

    Its integral from 0 to r = c - z is ½ (quantile - [r < 0]) r².
    """
    width = WIDTHS["quantile"]

    def integral(r):
        return 0.5 * (quantile - (r.real < 0)) * r**2

    return (integral(c - z + width) - integral(c - z - width)) / (2 * width)


# Sums over the outputs of (outputs, samples), but means for "logistic" and in regression.  c holds
# zeros and ones; in regression any numbers; for "poisson" nonnegative numbers.
LOSSES = {
    "logistic_squared": lambda z, c: (0.5 * (logistic(z) - c) ** 2).sum(-2),
    "logistic": lambda z, c: (np.log1p(np.exp(z)) - c * z).mean(-2),
    "softmax": lambda z, c: np.log(np.exp(z).sum(-2)) - (c * z).sum(-2),
    "squared": lambda z, c: 0.5 * ((z - c) ** 2).mean(-2),
    "huber": lambda z, c: huber(z - c, WIDTHS["huber"]).mean(-2),
    "quantile": lambda z, c: smooth_pinball(z, c).mean(-2),
    "poisson": lambda z, c: (np.exp(z) - c * z).mean(-2),
}


def stage_values(scheme, activation, y, K, b, h):
    """Return Yi and Fi of one step, each (n_channels, samples)."""
    sigma = ACTIVATIONS[activation][0]
    A, weights, _ = scheme
    if not np.triu(A).any():
        Y, F = [], []
        for i in range(len(weights)):
            Y.append(y + h * sum(A[i][j] * F[j] for j in range(i)))
            F.append(sigma(K @ Y[i] + b[..., None]))
        return Y, F
    Y = solved_stages(np.array(A), activation, y, K, b, h)
    return list(Y), [sigma(K @ Yi + b[..., None]) for Yi in Y]


def solved_stages(A, activation, y, K, b, h):
    """Compute the stages by Newton's method on all of them at once; arguments may be complex."""
    sigma, derivative = ACTIVATIONS[activation]
    s, n = len(A), y.shape[-2]
    Y = y + np.multiply.outer(A.sum(1), h * sigma(K @ y + b[..., None]))
    for _ in range(50):
        Z = K @ Y + b[..., None]
        residual = Y - y - h * np.tensordot(A, sigma(Z), axes=1)
        # Rows (i, channel), columns (j, channel), one matrix per sample.
        hJ = np.einsum("ij,j...cm,...cd->...micjd", A, derivative(Z), h * K)
        hJ = hJ.reshape(*hJ.shape[:-4], s * n, s * n)
        right = np.einsum("i...cm->...mic", residual)
        step = np.linalg.solve(np.eye(s * n) - hJ, right.reshape(*hJ.shape[:-1], 1))
        Y = Y - np.einsum("...mic->i...cm", step.reshape(right.shape))
        if np.abs(step).max() <= 1e-14 * np.abs(Y).max():  # the error is its square
            return Y
    raise AssertionError("the reference could not solve its stage equations")


def forward(scheme, activation, skip, controls, X, lift="identity"):
    """Return the states y⁰ … yᴺ, (n_channels, samples) each, of one member.

    `lift` is the activation of the map from the features to y⁰, if the controls have one.
    """
    *front, N, n, _ = controls.K.shape
    if controls.V is None:
        y = np.zeros((*front, n, len(X)), dtype=controls.K.dtype)
        y[..., : X.shape[1], :] = X.T
    else:
        y = ACTIVATIONS[lift][0](controls.V @ X.T + controls.nu[..., None])
    states = [y]
    for layer in range(N):
        K, b = controls.K[..., layer, :, :], controls.b[..., layer, :]
        h = controls.h[..., layer, None, None]
        _, F = stage_values(scheme, activation, y, K, b, h)
        y = skip * y + h * sum(w * Fi for w, Fi in zip(scheme[1], F, strict=True))
        states.append(y)
    return states


def data_loss(scheme, activation, skip, loss, controls, X, targets, weights, lift="identity"):
    """Return Σi wi ℓi, which is the held-out loss if the weights are those of held-out samples."""
    y = forward(scheme, activation, skip, controls, X, lift)[-1]
    z = controls.W @ y + controls.mu[..., None]
    return (weights * LOSSES[loss](z, targets.T)).sum(-1)


def penalties(controls, alpha, smooth=(0.0, 1.0)):
    """Return ½ α (‖K‖² + ‖W‖² + ‖V‖²) + ½ β Σ ‖Uℓ⁺¹ - Uℓ‖²/h, with smooth = (β, h)."""
    beta, h = smooth
    penalty = 0.5 * alpha * ((controls.K**2).sum((-3, -2, -1)) + (controls.W**2).sum((-2, -1)))
    if controls.V is not None:
        penalty = penalty + 0.5 * alpha * (controls.V**2).sum((-2, -1))
    N = controls.K.shape[-3]
    for part in (controls.K, controls.b[..., None]):
        for layer in range(N - 1):
            rise = part[..., layer + 1, :, :] - part[..., layer, :, :]
            penalty = penalty + 0.5 * beta * (rise**2).sum((-2, -1)) / h
    return penalty


def objective(
    scheme,
    activation,
    skip,
    loss,
    controls,
    X,
    targets,
    weights,
    alpha,
    smooth=(0.0, 1.0),
    lift="identity",
):
    data = data_loss(scheme, activation, skip, loss, controls, X, targets, weights, lift)
    return data + penalties(controls, alpha, smooth)


def weights_of_member(weights, group, row):
    """Return the weights of the samples for one member; `row` is its row of a table."""
    return np.array([w * row[g] for w, g in zip(weights, group, strict=True)])


def complex_step_gradient(function, layout, row):
    """Return ∂function/∂row, exact to rounding: Im f(x + iε)/ε with ε = 1e-40."""
    return function(member(layout, row + 1e-40j * np.eye(layout.size))).imag / 1e-40


def member(layout, row):
    """Return the named parts of one flat row, or of several."""
    return Controls(
        *(
            row[..., s].reshape(*row.shape[:-1], *shape)
            for s, shape in zip(layout.slices, layout.shapes, strict=True)
            if shape is not None
        )
    )


def proposition_1(scheme, activation, controls, X, p):
    """Return p⁰ and ∂J/∂K, ∂J/∂b of an ODE network from pᴺ (Proposition 1, Benning et al. 2021).

    Pi = p⁺ - h Σk (aki bk / bi) λk,  λk = -Jkᵀ Pk,  p = p⁺ - h Σi bi λi,
    ∂J/∂U = h Σi bi (∂f/∂U)ᵀ Pi.
    """
    derivative = ACTIVATIONS[activation][1]
    A, weights, _ = scheme
    s = len(weights)
    # aki bk / bi, with k the rows
    costate_A = np.array(A) * np.array(weights)[:, None] / np.array(weights)
    n, m = controls.K.shape[1], len(X)
    states = forward(scheme, activation, 1.0, controls, X)
    dK, db = np.zeros_like(controls.K), np.zeros_like(controls.b)
    for layer in reversed(range(len(controls.K))):
        K, b, h = controls.K[layer], controls.b[layer], controls.h[layer]
        Y, _ = stage_values(scheme, activation, states[layer], K, b, h)
        derivatives = np.array([derivative(K @ Yi + b[:, None]) for Yi in Y])
        # The P of all stages, from one dense linear system per sample: Pi = p - h Σk (…) λk with
        # λk = -Kᵀ(σ′k ∘ Pk).
        J = np.einsum("ki,dc,kdm->mickd", h * costate_A, K, derivatives).reshape(m, s * n, s * n)
        rhs = np.tile(p, (s, 1)).T[..., None]
        P = np.linalg.solve(np.eye(s * n) - J, rhs)[..., 0].T.reshape(s, n, m)
        for i in range(s):
            G = derivatives[i] * P[i]
            dK[layer] += h * weights[i] * G @ Y[i].T
            db[layer] += h * weights[i] * G.sum(1)
            p = p + h * weights[i] * K.T @ G
    return p, dK, db


def together(loss, z, weights):
    """Return the mean prediction of members, (classes or outputs, samples), for any complex z."""
    weights = np.asarray(weights)[:, None, None]
    if loss in ("squared", "huber", "quantile"):
        return (weights * z).sum(0)
    if loss == "poisson":
        return (weights * np.exp(z)).sum(0)
    if loss == "softmax":
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    elif loss == "logistic_squared" and z.shape[1] > 1:
        C = 1 / (1 + np.exp(-z))
        p = C / C.sum(1, keepdims=True)
    else:
        p = np.concatenate([1 / (1 + np.exp(z)), 1 / (1 + np.exp(-z))], axis=1)
    return np.log((weights * p).sum(0))


def triple(tableau):
    return tableau.A, tableau.b, tableau.c


@st.composite
def weights_of(draw, s, zero_weights):
    size = st.floats(0.2, 1).map(lambda x: round(x, 3))
    weights = [draw(size) for _ in range(s)]
    if zero_weights:
        used = draw(st.lists(st.booleans(), min_size=s, max_size=s).filter(any))
        weights = [w * k for w, k in zip(weights, used, strict=True)]
    total = sum(weights)
    return [w / total for w in weights]


@st.composite
def explicit_schemes(draw, zero_weights=True):
    """Random consistent explicit tableaux (A, b, c), with some zero weights if requested."""
    s = draw(st.integers(1, 4))
    entry = st.floats(-2, 2, allow_nan=False).map(lambda x: round(x, 3))
    A = [[draw(entry) if j < i else 0.0 for j in range(s)] for i in range(s)]
    return A, draw(weights_of(s, zero_weights)), [sum(row) for row in A]


@st.composite
def implicit_schemes(draw, zero_weights=True):
    """Random consistent tableaux (A, b, c) of any pattern, from explicit to full.

    Their entries are so small that the stage equations have one solution for ‖hK‖ of order one.
    """
    s = draw(st.integers(1, 3))
    entry = st.one_of(st.just(0.0), st.floats(-0.4, 0.4).map(lambda x: round(x, 3)))
    A = [[draw(entry) for _ in range(s)] for _ in range(s)]
    return A, draw(weights_of(s, zero_weights)), [sum(row) for row in A]
