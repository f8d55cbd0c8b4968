"""The CUDA kernel: explicit schemes, with all members, layers and samples in one launch.

A second launch adds up partial sums.  The kernels are in explicit.cu, and the layout of their
threads is in products.cuh.  This module prepares their arguments for a `Machine`, which is a
device, or its emulation on the CPU in the tests.

The order of the sums depends only on the shapes of one member.  So results are reproducible to the
last bit, and those of a member do not depend on the other members.  Tiles of samples without a
weight for a member, in the fold weights, take no time.
"""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np

from ..activations import IDENTITY, TANH
from ..arrays import Array, free_memory, itemsize, namespace, quiet
from ..fold_weights import FoldWeights
from ..tableaux import ButcherTableau
from .cuda_machine import ADDERS, Launch, Machine, Variant, device_of, machine_of
from .interface import Problem, Samples, Sums
from .reference import input_gradients as input_gradients  # on the device too, by its library

MOST_CHANNELS = 128  # with more channels, cuBLAS is as fast
MOST_STAGES = 16
MOST_SAMPLES = 2**30
DEVICE_FRACTION = 0.5  # of the free memory
RECORD_FRACTION = 0.125  # of all memory, for the states and stages that the backward pass needs


def is_usable_for(problem: Problem, like: Array) -> bool:
    """Whether the kernel supports this problem with controls like `like`, on this machine."""
    machine = machine_of(like)
    return machine is not None and serves(machine, problem, like.dtype)


def serves(machine: Machine, problem: Problem, dtype: Any) -> bool:
    """Whether a machine supports a problem in a precision."""
    network, layout = problem.network, problem.layout
    return (
        Variant.supports(dtype)
        and network.field.plain
        and isinstance(network.tableau, ButcherTableau)
        and network.tableau.explicit
        and network.tableau.n_stages <= MOST_STAGES
        and network.lift.codes in (network.activation.codes, (IDENTITY, IDENTITY))
        and layout.n_channels <= MOST_CHANNELS
        and Variant.of(problem, dtype, MOST_SAMPLES).shared_bytes(layout.n_outputs)
        <= machine.shared_bytes
    )


def members_are_independent(problem: Problem) -> bool:
    """Return True: the kernel computes them one by one."""
    return True


def call_size(problem: Problem, n_members: int, n_samples: int, like: Array) -> tuple[int, int]:
    """Return all samples, and as many members as there is memory for their partial sums."""
    layout, variant = problem.layout, Variant.of(problem, like.dtype, n_samples)
    of_member = variant.n_jobs(n_samples) * (layout.size + 6) * variant.itemsize
    room = int(DEVICE_FRACTION * (free_memory(like) or 0))
    return max(1, min(n_members, room // of_member)), min(n_samples, MOST_SAMPLES)


def evaluate(
    problem: Problem,
    samples: Samples,
    flat: Array,
    gradient: bool,
    tolerance: Array | None = None,
) -> Sums:
    """Return the sums over the samples; `flat` has one row for every member."""
    with device_of(flat) as device:
        folds = None if samples.folds is None else FoldWeights(*map(device.take, samples.folds))
        X, targets, weights = map(device.take, samples[:3])
        taken = Samples(X, targets, weights, folds)
        sums = evaluate_on(device.machine, problem, taken, device.take(flat), gradient)
        return Sums(*(part if part is None else device.give(part) for part in sums))


def predict(problem: Problem, X: Array, flat: Array, weights: Array | None = None) -> Array:
    """Return `loss.mean` of the outputs, (classes or outputs, samples)."""
    n_samples, (n_members, _) = X.shape[0], flat.shape
    # `mean` allocates a few arrays of one or two times the size of the outputs.
    of_sample = 12 * n_members * problem.layout.n_outputs * itemsize(flat)
    room = free_memory(flat)
    at_once = n_samples if room is None else int(DEVICE_FRACTION * room) // of_sample
    at_once = max(1, min(at_once, MOST_SAMPLES))
    with device_of(flat) as device, quiet():
        X, flat = device.take(X), device.take(flat)
        weights = weights if weights is None else device.take(weights)
        means = []
        for first in range(0, n_samples, at_once):
            z = outputs_on(device.machine, problem, X[first : first + at_once, :], flat)
            means.append(problem.loss.mean(namespace(z), z, weights))
        return device.give(namespace(flat).concat(means, axis=1))


def evaluate_on(
    machine: Machine, problem: Problem, samples: Samples, flat: Array, gradient: bool
) -> Sums:
    """Return the sums: one launch computes partial sums, a second adds them up."""
    variant = Variant.of(problem, flat.dtype, samples.X.shape[0])
    n_members, size = flat.shape
    n_jobs = variant.n_jobs(samples.X.shape[0])
    losses = machine.empty((n_members, n_jobs, 3), np.float64)  # and whether there is a gradient
    gradients, result = None, None
    if gradient:
        gradients = machine.empty((n_members, n_jobs, size), flat.dtype)
        result = machine.empty((n_members, size), flat.dtype)
    _launch(machine, variant, problem, samples, flat, (gradients, losses, None))
    loss = machine.empty((n_members,), np.float64)
    held_out = None if samples.folds is None else machine.empty((n_members,), np.float64)
    columns = size if gradient else 0
    arguments = (np.int32(n_jobs), np.int32(columns), losses, gradients, loss, held_out, result)
    blocks, threads = n_members * math.ceil((2 + columns) / 32), 32 * ADDERS
    machine.run(variant, Launch("add_up", blocks, threads, 8 * threads, _nulls(arguments)))
    return Sums(loss, held_out, result)


def outputs_on(machine: Machine, problem: Problem, X: Array, flat: Array) -> Array:
    """Return the outputs for the rows of X, (members, n_outputs, samples)."""
    variant = Variant.of(problem, flat.dtype, X.shape[0])
    z = machine.empty((flat.shape[0], problem.layout.n_outputs, X.shape[0]), flat.dtype)
    _launch(machine, variant, problem, Samples(X, None, None), flat, (None, None, z))
    return z


def _launch(
    machine: Machine,
    variant: Variant,
    problem: Problem,
    samples: Samples,
    flat: Array,
    results: tuple[Array, Array, Array],
) -> None:
    """Launch `evaluate` of explicit.cu; its results are gradients and losses, or outputs."""
    network, layout, loss, learn_step = problem
    n_jobs = variant.n_jobs(samples.X.shape[0])
    blocks = min(flat.shape[0] * n_jobs, machine.multiprocessors * (512 // variant.threads))
    memory, stored = None, _states_are_stored(problem)
    if results[0] is not None:
        parts = layout.n_layers * (variant.n_stages + stored)
        block = parts * variant.channels * variant.tile
        room = int(RECORD_FRACTION * machine.memory_bytes) // (block * variant.itemsize)
        blocks = max(1, min(blocks, room))
        memory = machine.empty((blocks, block), flat.dtype)
    nonlinear = bool(layout.lifted) and network.lift.codes != (IDENTITY, IDENTITY)
    real = np.dtype(variant.dtype).type
    arguments = (
        np.int32(layout.n_layers),
        np.int32(layout.n_outputs),
        np.int32(samples.X.shape[1]),
        np.int32(layout.lifted > 0),
        np.int32(nonlinear),
        np.int32(stored),
        np.int32(learn_step),
        np.int32(loss.code),
        real(loss.width),
        real(loss.quantile),
        real(network.skip),
        machine.tableau(cast(ButcherTableau, network.tableau), variant.dtype),
        *_arguments_of_samples(machine, samples, flat.dtype),
        np.int32(flat.shape[0]),
        machine.xp.ascontiguousarray(flat),
        np.int32(layout.size),
        np.int32(n_jobs),
        memory,
        *results,
    )
    shared = variant.shared_bytes(layout.n_outputs)
    machine.run(variant, Launch("evaluate", blocks, variant.threads, shared, _nulls(arguments)))


def _states_are_stored(problem: Problem) -> bool:
    """Whether states are stored for the backward pass, and not recovered by y⁺ - h Σ bi Fi.

    If a state grows in a step, recovering the previous one loses digits, and for relu the sign has
    to be exact.  So states are recovered only if σ is bounded, that is, tanh in all channels.
    """
    return problem.network.skip != 1.0 or problem.network.activation.codes != (TANH, TANH)


def _arguments_of_samples(machine: Machine, samples: Samples, dtype: Any) -> tuple[Any, ...]:
    """Return the samples and their fold weights as arguments of `evaluate` in explicit.cu."""
    contiguous = machine.xp.ascontiguousarray
    X = machine.xp.asarray(samples.X, dtype=dtype)
    arguments = [np.int32(X.shape[0]), X, *(np.int64(stride // X.itemsize) for stride in X.strides)]
    arguments += [
        None if part is None else contiguous(part, dtype=dtype)
        for part in (samples.targets, samples.weights)
    ]
    folds = samples.folds
    if folds is None:
        return *arguments, None, None, None, None, np.int32(0)
    return (
        *arguments,
        contiguous(folds.group, dtype=np.int64),
        contiguous(folds.train, dtype=dtype),
        contiguous(folds.held_out, dtype=dtype),
        contiguous(folds.split, dtype=np.int64),
        np.int32(folds.train.shape[1]),
    )


def _nulls(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Replace None by null pointers, since CuPy rejects None as an argument."""
    return tuple(np.uintp(0) if argument is None else argument for argument in arguments)
