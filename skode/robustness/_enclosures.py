"""Bounds of what a network computes of all features near a sample: by lines, or by intervals.

`LinearBounds` goes backwards from linear functions of a state, through every activation by one of
two lines, to linear functions of the features, whose least values on a ball are known.  The way
back through a layer is that of the costates, with slopes of lines in place of σ′:

    Gi = slope ∘ (Γi P),   Vi = Gi K,   Γi = h (wi p⁺ + Σj>i aji Vj),   p = α p⁺ + Σi Vi.

References
----------
Zhang, Weng, Chen, Hsieh, Daniel, "Efficient neural network robustness certification with general
activation functions" (NeurIPS 2018).
Gowal et al., "On the effectiveness of interval bound propagation for training verifiably robust
models" (2018).
"""

from __future__ import annotations

import numpy as np

from ._lines import Lines, lines_of, lines_of_clipping
from ._unrolled import activated

ROUNDING = 1e-10  # times the sizes of all terms of a bound


class LinearBounds:
    """Lower bounds of linear functions of the last state of one network, for samples in balls.

    Parameters
    ----------
    net : Unrolled
        Of an explicit scheme.
    k : int
        The number of the network.
    x, u : ndarrays of shapes (samples, features) and (samples, inputs)
        The centres, before and after the feature map.
    eps : ndarray of shape (samples,)
        The radii, in the features that the pipeline is given.
    norm : 2 or "inf"
    """

    def __init__(self, net, k, x, u, eps, norm):
        self._net, self._k, self._eps, self._norm = net, k, eps, norm
        self._centre = u @ net.V[k].T + net.nu[k]
        self._map_lines = self._lines_of_map(x, u) if net.in_pieces else None
        self._V = None if net.in_pieces else net.through_pipeline(net.V[k])
        self._lift_lines, self._lines = None, []
        n = self._centre.shape[1]
        if net.lift.codes != (0, 0):
            low, high = self._both(lambda C: self._of_lift(C, *self._nothing(C)), np.eye(n))
            self._lift_lines = lines_of(net.lift, low, high)
        for number, layer in enumerate(net.layers):
            self._lines.append([])
            for i in range(net.tableau.n_stages):

                def of_stage(C, number=number, row=net.coefficients[i, :i]):
                    back = self._through(number, 1.0, row, C, *self._nothing(C))
                    return self._of_state(number, *back)

                low, high = self._both(of_stage, layer.K[k])
                b = layer.b[k]
                self._lines[-1].append(lines_of(net.activation, low + b, high + b))

    def lower(self, C):
        """Lower bounds, (samples, rows), of C yᴺ with C (samples, rows, n)."""
        return self._of_state(len(self._net.layers), C, *self._nothing(C))

    def _both(self, lower, rows):
        """Lower and upper bounds of the rows of what `lower` bounds."""
        C = np.concatenate([rows, -rows])
        C = np.broadcast_to(C, (len(self._centre), *C.shape))
        found = lower(C)
        return found[:, : len(rows)], -found[:, len(rows) :]

    @staticmethod
    def _nothing(C):
        """A constant of zero, and the size of its terms."""
        return np.zeros(C.shape[:2]), np.zeros(C.shape[:2])

    def _of_state(self, number, C, value, size):
        for earlier in reversed(range(number)):
            C, value, size = self._through(
                earlier, self._net.skip, self._net.tableau.b, C, value, size
            )
        return self._of_lift(C, value, size)

    def _through(self, number, skip, weights, p, value, size):
        """From functions of skip·y + h Σ wi P Fi to functions of y."""
        net, layer, k = self._net, self._net.layers[number], self._k
        h, K, b = layer.h[k], layer.K[k], layer.b[k]
        V = {}
        for i in reversed(range(len(weights))):
            terms = [(weights[i], p)] + [(net.coefficients[j, i], part) for j, part in V.items()]
            terms = [weight * h * part for weight, part in terms if weight]
            if not terms:
                continue
            gamma = sum(terms[1:], terms[0])
            if layer.P is not None:
                gamma = _times(gamma, layer.P[k])
            G, value, size = _by_lines(gamma, self._lines[number][i], value, size)
            V[i] = _times(G, K)
            value, size = value + G @ b, size + np.abs(G) @ np.abs(b)
        return sum(V.values(), skip * p), value, size

    def _of_lift(self, C, value, size):
        """The least values of functions of y⁰, on the balls."""
        net = self._net
        if self._lift_lines is not None:
            C, value, size = _by_lines(C, self._lift_lines, value, size)
        at, sizes = _constant(C, self._centre), _constant(np.abs(C), np.abs(self._centre))
        value, size = value + at, size + sizes
        if net.in_pieces:
            C, value, size = _by_lines(_times(C, net.V[self._k]), self._map_lines, value, size)
            moved = np.zeros((*C.shape[:2], net.feature_map.n_features_in))
            np.add.at(moved, (..., net.feature_map.column), C)
            moved = net.through_pipeline(moved)
        else:
            moved = _times(C, self._V)
        spread = self._eps[:, None] * dual_norm(moved, self._norm)
        return value - spread - ROUNDING * (size + spread)

    def _lines_of_map(self, x, u):
        """Lines of what the inputs change by, as functions of what the features change by."""
        net, feature_map = self._net, self._net.feature_map
        x = x[:, feature_map.column]
        radius = self._eps[:, None] * feature_radius(net, self._norm)[feature_map.column]
        found = lines_of_clipping(feature_map.low, feature_map.high, x - radius, x + radius)
        width, before = (
            feature_map.width,
            np.minimum(np.maximum(x, feature_map.low), feature_map.high),
        )
        return Lines(
            found.lower_slope / width,
            (found.lower_at + found.lower_slope * x - before) / width,
            found.upper_slope / width,
            (found.upper_at + found.upper_slope * x - before) / width,
        )


def _times(C, M):
    """C M for functions (samples, rows, n), in one product."""
    return (C.reshape(-1, C.shape[-1]) @ M).reshape(*C.shape[:-1], M.shape[1])


def _constant(C, at):
    """Values (samples, rows) of functions at one point of every sample."""
    return (C @ at[..., None])[..., 0]


def _by_lines(C, lines, value, size):
    """From lower bounds of C σ(x) + value to those of G x + value, with lines of σ."""
    positive, negative = np.maximum(C, 0.0), np.minimum(C, 0.0)
    G = positive * lines.lower_slope[:, None] + negative * lines.upper_slope[:, None]
    value = value + _constant(positive, lines.lower_at) + _constant(negative, lines.upper_at)
    size = size + _constant(positive, np.abs(lines.lower_at))
    return G, value, size - _constant(negative, np.abs(lines.upper_at))


def dual_norm(G, norm):
    """The largest value of G δ over all δ of norm at most 1."""
    return np.sqrt((G * G).sum(axis=-1)) if norm == 2 else np.abs(G).sum(axis=-1)


def feature_radius(net, norm):
    """How far each feature of the estimator moves on a ball of radius 1 before the pipeline."""
    if net.pull_back is None:
        return np.ones(net.feature_map.n_features_in)
    return dual_norm(net.through_pipeline(np.eye(net.feature_map.n_features_in)), norm)


def interval_bounds(net, k, x, u, eps, norm):
    """Bounds (low, high) of the last states of network k, (samples, n), by intervals."""
    eps = eps[:, None]
    centre = u @ net.V[k].T + net.nu[k]
    if net.in_pieces:
        feature_map = net.feature_map
        radius = eps * feature_radius(net, norm)
        ends = feature_map.transform(x - radius), feature_map.transform(x + radius)
        low, high = _times_interval(net.V[k], *ends)
        low, high = low + net.nu[k], high + net.nu[k]
    else:
        radius = eps * dual_norm(net.through_pipeline(net.V[k]), norm)
        low, high = centre - radius, centre + radius
    low, high = _widened(activated(net.lift, low), activated(net.lift, high))
    for layer in net.layers:
        F = []
        for row in net.coefficients:
            Z = _times_interval(
                layer.K[k], *_advanced(net, layer, k, 1.0, row[: len(F)], low, high, F)
            )
            F.append(_widened(*(activated(net.activation, end + layer.b[k]) for end in Z)))
        low, high = _advanced(net, layer, k, net.skip, net.tableau.b, low, high, F)
    return low, high


def _advanced(net, layer, k, skip, weights, low, high, F):
    """Bounds of skip·y + h Σ wi P Fi."""
    low, high = skip * low, skip * high
    for weight, (below, above) in zip(weights, F, strict=True):
        if weight:
            if layer.P is not None:
                below, above = _times_interval(layer.P[k], below, above)
            ends = weight * layer.h[k] * below, weight * layer.h[k] * above
            low, high = low + np.minimum(*ends), high + np.maximum(*ends)
    return _widened(low, high)


def _times_interval(M, low, high):
    """Bounds of M v for vectors between low and high, (samples, n)."""
    centre, radius = (low + high) / 2 @ M.T, (high - low) / 2 @ np.abs(M).T
    slack = 1e-14 * len(M.T) * (np.maximum(np.abs(low), np.abs(high)) @ np.abs(M).T)
    return centre - radius - slack, centre + radius + slack


def _widened(low, high):
    """A little more than the interval, for rounding."""
    slack = 1e-13 * (np.abs(low) + np.abs(high)) + 1e-300
    return low - slack, high + slack
