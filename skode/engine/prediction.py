"""Outputs and states of trained networks, block by block."""

from __future__ import annotations

from collections.abc import Callable

from .arrays import Array, namespace, quiet
from .blocks import Blocks
from .controls import Controls, Layout, without_idle_layers
from .elsewhere import Elsewhere
from .kernels import Problem, kernel_for
from .kernels.reference import features
from .losses import LOSSES, Loss
from .networks import Forward, Network
from .unsolved import UnsolvedStagesError


def mean_outputs(
    network: Network,
    loss: Loss,
    U: Controls,
    X: Array,
    blocks: Blocks | None = None,
    weights: Array | None = None,
) -> Array:
    """Return `Loss.mean` of the outputs of all members, (classes or outputs, samples).

    `X` is (samples, n_features), and `blocks` defines how its rows are split into blocks.  The
    members have the weights (members,), which add up to one; by default they are equal.

    Raises
    ------
    UnsolvedStagesError
        If the stage equations of an implicit scheme could not be solved for some sample.
    """
    if isinstance(X, Elsewhere):
        return X.mean_outputs(network, loss, U, weights)
    if network.skip:
        U = without_idle_layers(U)
    problem, flat = problem_of(network, loss, U)
    kernel = kernel_for(problem, flat)

    def of_rows(rows: slice) -> Array:
        return kernel.predict(problem, X[rows, :], flat, weights)

    return _by_blocks(of_rows, problem, flat, X, blocks)


def outputs(network: Network, U: Controls, X: Array, blocks: Blocks | None = None) -> Array:
    """Return the outputs W yᴺ + μ, (members, n_outputs, samples); see `mean_outputs`."""
    return _of_reference(network, U, X, blocks, lambda done: done.z, record=False)


def trajectories(network: Network, U: Controls, X: Array, blocks: Blocks | None = None) -> Array:
    """Return the states y⁰ … yᴺ, (members, N + 1, n_channels, samples); see `mean_outputs`."""
    xp = namespace(U.K)
    return _of_reference(network, U, X, blocks, lambda done: xp.stack(done.y, axis=1), record=True)


def final_states(network: Network, U: Controls, X: Array, blocks: Blocks | None = None) -> Array:
    """Return the states yᴺ, (members, n_channels, samples); see `mean_outputs`."""
    return _of_reference(network, U, X, blocks, lambda done: done.y[-1], record=False)


def input_gradients(
    problem: Problem,
    flat: Array,
    X: Array,
    of_mean: Callable[[Array, slice], Array],
    weights: Array,
    blocks: Blocks | None = None,
) -> Array:
    """Return the derivatives of functions of `mean_outputs` with respect to X.

    Parameters
    ----------
    problem, flat
        See `problem_of`.
    of_mean : callable (mean, rows) -> array (functions, classes or outputs, samples)
        The derivatives of the functions with respect to the `mean_outputs` of some rows of X.
    others
        See `mean_outputs`.

    Returns
    -------
    array of shape (functions, n_features, samples)
    """
    xp, kernel = namespace(flat), kernel_for(problem, flat)

    def of_rows(rows: slice) -> Array:
        def of_outputs(z: Array) -> Array:
            with quiet():
                mean, adjoint = problem.loss.mean_and_adjoint(xp, z, weights)
                G = of_mean(mean, rows)
                return xp.stack([adjoint(G[k, ...]) for k in range(G.shape[0])])

        return kernel.input_gradients(problem, X[rows, :], flat, of_outputs)

    return _by_blocks(of_rows, problem, flat, X, blocks)


def _of_reference(
    network: Network,
    U: Controls,
    X: Array,
    blocks: Blocks | None,
    part: Callable[[Forward], Array],
    record: bool,
) -> Array:
    """Return some part of a forward pass of the reference."""
    problem, flat = problem_of(network, LOSSES["squared"], U)

    def of_rows(rows: slice) -> Array:
        with quiet():
            done = network.forward(U, features(X[rows, :], flat), record)
        UnsolvedStagesError.raise_for(done.statuses)
        return part(done)

    return _by_blocks(of_rows, problem, flat, X, blocks)


def problem_of(network: Network, loss: Loss, U: Controls) -> tuple[Problem, Array]:
    """Return the problem that the controls belong to, and their flat rows."""
    n_features = 0 if U.V is None else U.V.shape[2]
    layout = Layout(U.K.shape[1], U.K.shape[2], U.W.shape[1], lifted=n_features)
    return Problem(network, layout, loss, learn_step=False), layout.flatten(U)


def _by_blocks(
    of_rows: Callable[[slice], Array],
    problem: Problem,
    flat: Array,
    X: Array,
    blocks: Blocks | None,
) -> Array:
    """Join the results of `of_rows` for all blocks.

    All blocks are computed before an error names the unsolved samples.
    """

    def attempt(rows: slice) -> Array | tuple[int, UnsolvedStagesError]:
        try:
            return of_rows(rows)
        except UnsolvedStagesError as error:
            return rows.start, error

    found = (blocks or Blocks()).map(attempt, problem, flat, X.shape[0])
    if errors := [part for part in found if isinstance(part, tuple)]:
        raise UnsolvedStagesError.joined(errors)
    return namespace(flat).concat(found, axis=-1)
