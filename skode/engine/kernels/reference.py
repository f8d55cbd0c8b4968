"""The reference kernel, for every case and any array library.  It defines the correct results."""

from __future__ import annotations

from collections.abc import Callable

from ..arrays import Array, Namespace, free_memory, itemsize, namespace, on_cpu, quiet, to_host
from ..controls import Controls, Layout
from ..implicit import CAREFUL, HASTY, Effort, Status
from ..networks import Forward, Network
from ..sparse_rows import SparseRows
from ..unsolved import UnsolvedStagesError
from .interface import Problem, Samples, Sums

STATE_BYTES = 240 * 1024  # of one state on the host: L2 holds the few that a layer uses
FEWEST_SAMPLES = 128  # on the host: with fewer, the overhead of the calls dominates
DEVICE_FRACTION = 0.5  # of the free memory of a device


def is_usable_for(problem: Problem, like: Array) -> bool:
    """Return True: it supports every problem."""
    return True


def members_are_independent(problem: Problem) -> bool:
    """Return False if stage equations are solved for all members together."""
    return problem.network.tableau.explicit


def call_size(problem: Problem, n_members: int, n_samples: int, like: Array) -> tuple[int, int]:
    """Return the numbers of members and samples for one call.

    On the host their states fit into the cache; on a device the free memory is the limit.
    """
    layout, bytes_of_sample = problem.layout, problem.layout.n_channels * itemsize(like)
    room = free_memory(like)
    if room is not None:
        n_states = _n_states(problem.network, layout)
        fitting = int(DEVICE_FRACTION * room) // (n_states * n_members * bytes_of_sample)
        return n_members, max(FEWEST_SAMPLES, fitting)
    size = max(FEWEST_SAMPLES, STATE_BYTES // bytes_of_sample)
    return max(1, STATE_BYTES // (bytes_of_sample * min(size, n_samples))), size


def _n_states(network: Network, layout: Layout) -> int:
    """Return the number of arrays of the size of a state: y, Yi and Fi of all layers, Vi and Γi.

    Every block of k implicit stages has a matrix of k² n states in each layer, and the iteration
    needs three more.
    """
    s, blocks = network.tableau.n_stages, network.tableau.blocks
    squares = [len(block.stages) ** 2 for block in blocks if not block.explicit]
    matrices = layout.n_layers * sum(squares) + 3 * max(squares, default=0)
    return (layout.n_layers + 1) * (2 * s + 1) + 4 * s + matrices * layout.n_channels


def features(X: Array, like: Array) -> Array:
    """Return the features of the rows of `X`, (n_features, samples), in the controls' dtype."""
    xp = namespace(like)
    dense = X.dense() if isinstance(X, SparseRows) else X
    return xp.astype(xp.permute_dims(dense, (1, 0)), like.dtype, copy=False)


def evaluate(
    problem: Problem,
    samples: Samples,
    flat: Array,
    gradient: bool,
    tolerance: Array | None = None,
) -> Sums:
    """Return the sums over the samples; `flat` has one row for every member."""
    U, x = problem.layout.views(flat), features(samples.X, flat)
    with quiet():
        for effort in _efforts(problem, flat):
            done = problem.network.forward(U, x, record=gradient, effort=effort)
            sums = _sums(problem, samples, U, x, done, gradient)
            if not effort.checks and _all_solved(done, sums):
                break
        return sums


def predict(problem: Problem, X: Array, flat: Array, weights: Array | None = None) -> Array:
    """Return `loss.mean` of the outputs, (classes or outputs, samples).

    Raises
    ------
    UnsolvedStagesError
        If the stage equations of an implicit scheme could not be solved for some sample.
    """
    n_members = flat.shape[0]
    at_once, _ = call_size(problem, n_members, X.shape[0], flat)
    parts = [flat[k : min(k + at_once, n_members), :] for k in range(0, n_members, at_once)]
    xp, x = namespace(flat), features(X, flat)
    with quiet():
        z = xp.concat([_outputs(problem, x, part) for part in parts], axis=0)
        return problem.loss.mean(xp, z, weights)


def input_gradients(
    problem: Problem, X: Array, flat: Array, of_outputs: Callable[[Array], Array]
) -> Array:
    """Return derivatives with respect to the features, (functions, n_features, samples).

    Raises
    ------
    UnsolvedStagesError
        If the stage equations of an implicit scheme could not be solved for some sample.
    """
    network, U, x = problem.network, problem.layout.views(flat), features(X, flat)
    with quiet():
        done = network.forward(U, x, record=True)
        UnsolvedStagesError.raise_for(done.statuses)
        dz, found = of_outputs(done.z), []
        for k in range(dz.shape[0]):
            p = network.costates(U, done, dz[k, ...])[0]
            found.append(network.features_adjoint(U, done.y[0], p, x.shape[0]))
    return namespace(flat).stack(found)


def _outputs(problem: Problem, x: Array, flat: Array) -> Array:
    """Return the outputs z of some members."""
    U = problem.layout.views(flat)
    for effort in _efforts(problem, flat):
        done = problem.network.forward(U, x, effort=effort)
        if not effort.checks and _all_solved(done):
            return done.z
    UnsolvedStagesError.raise_for(done.statuses)
    return done.z


def _efforts(problem: Problem, like: Array) -> tuple[Effort, ...]:
    """Return the efforts to try for stage equations, one after the other."""
    hasty_first = not (problem.network.tableau.explicit or on_cpu(like))
    return (HASTY, CAREFUL) if hasty_first else (CAREFUL,)


def _all_solved(done: Forward, sums: Sums | None = None) -> bool:
    """Whether all stages and costates have been found.  Waits for the device once."""
    xp = namespace(done.z)
    found = [xp.all(status.converged) for status in done.statuses]
    if sums is not None and sums.gradient is not None:
        found.append(xp.all(xp.isfinite(sums.gradient)))
    return bool(to_host(xp.all(xp.stack(found))))


def _sums(
    problem: Problem, samples: Samples, U: Controls, x: Array, done: Forward, gradient: bool
) -> Sums:
    """Return the sums over the samples after a forward pass."""
    network, layout, loss, learn_step = problem
    xp, w, w_held_out = namespace(done.z), samples.weights[None, :], None
    if samples.folds is not None:
        w, w_held_out = samples.folds.weights(w)
    c = xp.permute_dims(samples.targets, (1, 0))[None, ...]
    value, derivative = loss.value_and_derivative(xp, done.z, c)
    J, held_out = _total(xp, w, value, done.statuses), None
    if w_held_out is not None:
        held_out = _total(xp, w_held_out, value, done.statuses)
        held_out = xp.where(xp.isnan(held_out), xp.full_like(held_out, xp.inf), held_out)
    if not gradient:
        return Sums(J, held_out, None)
    dz = _where_weighted(xp, w[:, None, :], derivative)
    if done.statuses:  # for unsolved samples, the gradient is useless and zero is fastest
        dz = xp.where(xp.isinf(J)[:, None, None], xp.zeros_like(dz), dz)
    dU = network.backward(U, x, done, dz)
    if not learn_step:
        dU = dU._replace(h=xp.zeros_like(dU.h))
    return Sums(J, held_out, layout.flatten(dU))


def _where_weighted(xp: Namespace, w: Array, values: Array) -> Array:
    """Return w times the values; 0 where w is 0, even if a value is not finite."""
    product = w * values
    return xp.where(w > 0, product, xp.zeros_like(product))


def _total(xp: Namespace, w: Array, value: Array, statuses: list[Status]) -> Array:
    """Return Σ w ℓ per member; +inf if a sample with nonzero weight is unsolved in some layer."""
    total = xp.sum(_where_weighted(xp, w, value), axis=1, dtype=xp.float64)
    for status in statuses:
        unsolved = xp.any(~status.converged & (w > 0), axis=1)
        total = xp.where(unsolved, xp.full_like(total, xp.inf), total)
    return total
