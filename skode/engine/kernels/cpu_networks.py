"""Networks on blocks of samples, in compiled loops without the interpreter's lock.

The formulas are those of `networks`.  Members are computed one by one, in blocks of samples, one
layer after the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .cpu_case import (
    FIRST,
    SECOND,
    allocate,
    described,
    fill,
    fill_features,
    of_member,
    place_of_state,
    places_of_costates,
    starts_of,
    work_for,
)
from .cpu_losses import add_member, data_loss, multiply, weigh, weighted_sum
from .cpu_rows import (
    NO,
    NOTHING,
    ONE,
    YES,
    activate,
    add_outer_product,
    add_row_sums,
    expanded,
    product,
    pull_back,
)
from .cpu_sparse import add_sparse_outer_product, sparse_product

FLUSH = 16  # blocks, after which a gradient in single precision is added to a sum in double


@expanded
def _clear_unweighted(weights, states, features, z):
    """Set samples of weight zero to zero if their outputs are not finite.

    Otherwise they would turn the gradient into NaN.  Return whether there are any.  Their features
    are then overwritten too, and have to be copied again for the next member.
    """
    found = False
    for j in range(states.shape[2]):
        size = 0.0
        for k in range(z.shape[1]):
            size += z[0, k, j] if weights[j] <= 0 else 0
        if not np.isfinite(size):
            found = True
            for blocks in (states, features):
                for place in range(blocks.shape[0]):
                    for k in range(blocks.shape[1]):
                        blocks[place, k, j] = 0
    return found


@expanded
def _flush(gradient, total):
    """Add the gradient to the total in float64, if there is one, and reset it to zero."""
    for member in range(len(total)):
        for k in range(total.shape[1]):
            total[member, k] += gradient[member, k]
            gradient[member, k] = 0


@expanded
def _clear_unsolved(loss, gradient, total):
    """Set the unfinished gradient of members whose loss is infinite to zero."""
    for member in range(len(loss)):
        if loss[member] == np.inf:
            gradient[min(member, len(gradient)) :][:1] = 0
            total[min(member, len(total)) :][:1] = 0


def networks(step: Any, step_adjoint: Any) -> tuple[Any, Any, Any]:
    """Return `evaluate`, `predict` and `differentiate` for layers with a step and its adjoint."""
    forward, backward = _forward_with(step), _backward_with(step_adjoint)
    return (
        _evaluate_with(forward, backward),
        _predict_with(forward),
        _differentiate_with(forward, backward),
    )


def _forward_with(step: Any) -> Any:
    @expanded
    def forward(case, scheme, U, work, tolerance):
        """Compute the states of all layers and the outputs in their places."""
        starts, states, z, betas = starts_of(case), work.states, work.outputs, work.betas
        if case.lifted:
            y = place_of_state(case, FIRST)
            if case.sparse:
                sparse_product(U, work.sparse, states, (starts.V, case.lifted, y))
            else:
                product(U, work.features, states, betas, (starts.V, NO, FIRST, y, NOTHING))
            activate(case.lift, U, starts.nu, states, y)
        for j in range(len(work.unsolved)):
            work.unsolved[j] = False
        for layer in range(case.n_layers):
            step(case, scheme, U, layer, work, tolerance)
        last = place_of_state(case, case.n_layers)
        product(U, states, z, betas, (starts.W, NO, last, FIRST, NOTHING))
        for k in range(z.shape[1]):
            for j in range(z.shape[2]):
                z[0, k, j] += U[starts.mu + k]
                if case.most_stages > 0 and work.unsolved[j]:
                    z[0, k, j] = np.nan

    return forward


def _backward_with(step_adjoint: Any) -> Any:
    @expanded
    def backward(case, scheme, U, dU, work, tolerance):
        """Add the gradient with respect to all controls to dU, from ∂J/∂z.

        Return how much the loss depends on the tolerance.
        """
        starts, states, dz, betas = starts_of(case), work.states, work.outputs, work.betas
        _, G, p, _ = places_of_costates(case)
        add_row_sums(dz, dU, starts.mu)
        last = place_of_state(case, case.n_layers)
        add_outer_product(dz, states, betas, dU, (FIRST, last, starts.W, case.panel))
        product(U, dz, states, betas, (starts.W, YES, FIRST, p, NOTHING))
        sensitivity = 0.0
        for layer in range(case.n_layers - 1, -1, -1):
            sensitivity += step_adjoint(case, scheme, U, layer, dU, work, tolerance)
        if case.lifted:
            y = place_of_state(case, FIRST)
            pull_back(case.lift, betas[ONE], states, (y, p, G), dU, starts.nu)
            if case.sparse:
                add_sparse_outer_product(states, work.sparse, dU, (G, starts.V, case.lifted))
            else:
                places = (G, FIRST, starts.V, case.panel)
                add_outer_product(states, work.features, betas, dU, places)
        return sensitivity

    return backward


def _predict_with(forward: Any) -> Any:
    @expanded
    def predict(X, flat, weights, tolerances, numbers, scheme, combined, unsolved):
        """Write the mean over the members to `combined`, (classes or outputs, samples).

        If the targets are classes, `weights` are the logarithms of the members' weights.  The first
        entry of `unsolved` counts the samples, of all members, for which a stage equation could not
        be solved.
        """
        case, n_rows = described(numbers), 2 + len(combined)
        space = allocate(case, n_rows, scheme)
        n_samples = combined.shape[1]
        for start in range(0, n_samples, case.block):
            m = min(case.block, n_samples - start)
            work = work_for(case, space, n_rows, X, start, m)
            part = combined[:, start : start + m]
            fill_features(case, X, start, work)
            for member in range(len(flat)):
                forward(case, scheme, flat[member], work, tolerances[member])
                for j in range(min(len(work.unsolved), m)):
                    unsolved[0] += work.unsolved[j]
                z = work.outputs[0]
                add_member(case.loss, member == 0, weights[member], z, part, work.rows)

    return predict


def _differentiate_with(forward: Any, backward: Any) -> Any:
    @expanded
    def differentiate(X, flat, dz, tolerances, numbers, scheme, found):
        """Compute the outputs z of all members, or then derivatives for the features.

        Parameters
        ----------
        X, flat, tolerances, numbers, scheme
            As those of `evaluate`. The features are lifted.
        dz : array of shape (functions, members, n_outputs, samples)
            The derivatives of functions with respect to the outputs. Without functions, the outputs
            are wanted.
        found : tuple of three arrays
            The outputs, (members, n_outputs, samples); the derivatives with respect to the
            features, (functions, n_features, samples), which are added to; and what the call for
            the outputs has returned.

        Returns
        -------
        array of shape (blocks, any)
            The work space of every block, with the values of all members.
        """
        z, total, kept = found
        n_samples, asked = dz.shape[3], len(dz)
        case, n_rows = described(numbers), np.int64(0)
        space, V = allocate(case, n_rows, scheme), starts_of(case).V
        if asked == 0:
            n_blocks = -(-n_samples // case.block)
            kept = np.empty((n_blocks, len(space[0])), flat.dtype)
        pulled = np.empty(case.n_features * case.block, flat.dtype)
        dU = np.empty(0, flat.dtype)  # which is not wanted
        _, G, _, _ = places_of_costates(case)
        for start in range(0, n_samples, case.block):
            m = min(case.block, n_samples - start)
            own = kept[start // case.block], space[1], space[2], space[3], space[4]
            work = work_for(case, own, n_rows, X, start, m)
            out, part = work.outputs[0], pulled[: case.n_features * m].reshape((1, -1, m))
            if asked == 0:
                fill_features(case, X, start, work)
            for member in range(len(flat)):
                U, tolerance, its = flat[member], tolerances[member], of_member(case, member)
                if asked == 0:
                    forward(its, scheme, U, work, tolerance)
                    z[member, :, start : start + m] = out
                for k in range(asked):
                    out[:] = dz[k, member, :, start : start + m]
                    backward(its, scheme, U, dU, work, tolerance)
                    places = (V, YES, G, FIRST, NOTHING)
                    product(U, work.states, part, work.betas, places)
                    total[k, :, start : start + m] += part[0]
        return kept

    return differentiate


def _evaluate_with(forward: Any, backward: Any) -> Any:
    @expanded
    def evaluate(samples, folds, flat, tolerances, numbers, form, scheme, sums):
        """Add the sums over the samples for every member; the gradient only if requested.

        Parameters
        ----------
        samples : tuple of arrays
            X as an array and as the fields of `SparseRows`, one of which is empty; targets and
            weights; see `Samples`.
        folds : tuple of arrays
            The fields of `FoldWeights`; the group has length zero if there are no fold weights.
        flat : array of shape (members, size)
            The controls.
        tolerances : array of shape (members,)
            Of the stage equations of implicit schemes, relative to the size of their terms.
        numbers : array of int
            The fields of `Case`.
        form : array of shape (2,)
            The width and the quantile of the loss; see `Loss`.
        scheme : array of shape (any, n_stages)
            See `cpu._scheme`.
        sums : tuple of arrays
            The losses, the held-out losses, and how much the former depend on the tolerances, all
                (members,) in float64; the gradient (members, size); and the gradient in float64 if
                that is wanted, otherwise an array of length zero.
        """
        X, targets, weights = samples
        loss, held_out, sensitivity, gradient, total = sums
        case, n_rows = described(numbers), np.int64(4)
        space = allocate(case, n_rows, scheme)
        for start in range(0, len(weights), case.block):
            m = min(case.block, len(weights) - start)
            work = work_for(case, space, n_rows, X, start, m)
            z, c, rows = work.outputs[0], work.outputs[1], work.rows
            fill_features(case, X, start, work)
            fill(targets, start, work.outputs, SECOND)
            for member in range(len(flat)):
                U = flat[member]
                weigh(weights, folds, member, start, rows)
                forward(case, scheme, U, work, tolerances[member])
                if case.gradient:
                    spoilt = _clear_unweighted(rows[0], work.states, work.features, work.outputs)
                data_loss(case.loss, form, z, c, rows[2], rows[3])
                for j in range(min(len(work.unsolved), rows.shape[1])):
                    rows[2, j] = np.inf if work.unsolved[j] else rows[2, j]
                loss[member] += weighted_sum(rows[0], rows[2])
                held_out[member] += weighted_sum(rows[1], rows[2])
                if case.gradient and (case.most_stages == 0 or loss[member] < np.inf):
                    multiply(rows[0], z)
                    tolerance, dU = tolerances[member], gradient[member]
                    sensitivity[member] += backward(case, scheme, U, dU, work, tolerance)
                if case.gradient and spoilt:
                    fill_features(case, X, start, work)
            if start // case.block % FLUSH == FLUSH - 1 or start + m == len(weights):
                _flush(gradient, total)
        if case.most_stages > 0:
            _clear_unsolved(loss, gradient, total)

    return evaluate
