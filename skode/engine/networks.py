"""Networks as discretised flows: propagate a block forward, pull the costate back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import NamedTuple

from .arrays import Array, Namespace, Scratch, namespace
from .controls import Controls
from .fields import ACTIVATIONS, AffineField
from .implicit import Status, worse
from .ready import Ready
from .schemes import TABLEAUX
from .stacks import Stack, Stacks
from .stages import Adjoint, AdjointPlan, Step
from .tableaux import ButcherTableau

__all__ = ["Network", "Sums", "feed_forward", "ode_net", "pulled_back", "readout"]


@dataclass(frozen=True, eq=False)  # a network is itself, which is looked up for every block
class Network:
    """Layers y⁺ = α y + h Σi bi f(Yi) of a Runge-Kutta scheme.

    Parameters
    ----------
    tableau : ButcherTableau
        The scheme.
    field : AffineField
        The vector field f.
    carry : float
        1 for an ODE network, 0 for a feed-forward network.
    """

    tableau: ButcherTableau
    field: AffineField
    carry: float

    def propagate(self, ready: Ready, x: Array, scratch: Scratch, keep: bool = False) -> Pass:
        """The state yᴺ of every member from the features of a block.

        Parameters
        ----------
        ready : Ready
            What `ready` makes of the controls, once for all blocks.
        x : array of shape (n_features, samples)
            They are padded with zeros to the state y⁰, or lifted to it by [V ν] where the network
            has such a map.
        scratch : Scratch
            The result lies in it, until it is used again.
        keep : bool, default=False
            Whether the states, and what `pull_back` needs, are kept.
        """
        memory = scratch.once(_Memory, self, ready, keep, x.shape[1])
        if scratch.turned_to(memory):
            memory.put_ones()
        start, lifted = memory.stacks.layers[0], None
        if ready.V_nu is None:
            start.put_padded(x)
        else:
            y, lifted = start.x[0], _with_one(x, scratch)
            y.put(scratch.xp.matmul(ready.V_nu, lifted, out=y.array))
        for step in memory.steps:
            for call in step.calls:
                call()
        return Pass(memory.end, memory, lifted)

    def pull_back(
        self,
        done: Pass,
        p: Array,
        scratch: Scratch,
        with_h: bool,
        with_p: bool = True,
        costates: list[Array] | None = None,
    ) -> tuple[Array | None, Sums]:
        """The costate p⁰ = ∂J/∂y⁰ from pᴺ, and the sums in the gradient.

        Parameters
        ----------
        done : Pass
            A pass forward that was kept.  It is used up.
        p : array of shape (members, n_channels, samples)
            pᴺ, best written to ``done.entry``.
        scratch : Scratch
            That of the pass forward.
        with_h : bool
            Whether the steps are learned; if not, that saves a pass over every stage.
        with_p : bool, default=True
            Whether p⁰ is wanted; where nothing depends on it, that saves a matrix product.
        costates : list, optional
            Filled with copies of pᴺ … p⁰.
        """
        xp, memory = scratch.xp, done.memory
        F, N, costate = memory.stacks, len(memory.steps), memory.costate.x[0]
        back = scratch.once(_Back, memory, with_h, with_p)
        if back.slopes_first:  # σ′ of all layers at once
            out = back.sigma.slopes(N) if scratch.in_place else None
            back.sigma.put_slopes(self.field.slope(xp, F.slopes(N), out), out)
        costate.put(p)
        for adjoint in back.adjoints:
            if costates is not None:
                costates.append(xp.asarray(costate.array, copy=True))
            for call in adjoint.calls:
                call()
        if costates is not None:
            costates.append(xp.asarray(costate.array, copy=True))
        K, b = [], []
        for i, Y in enumerate(memory.values):
            parts = list(zip(back.sigma.parts(1 + i, N), Y.parts(0, N), strict=True))
            K.append([_products(xp, G, y) for G, y in parts])
            b.append([xp.matmul(G, back.ones) for G, _ in parts])
        of_K, of_b = (_sum_over_stages(xp, each) for each in (K, b))
        sums = Sums(of_K, of_b, back.of_h() if with_h else None)
        return costate.array if with_p else None, sums

    def gradient(self, U: Controls, sums: Sums) -> tuple[Array, Array, Array]:
        """The gradient with respect to K, b and h from the sums over all blocks."""
        xp = namespace(U.K)
        return (
            U.h[:, :, None, None] * xp.permute_dims(sums.K, (1, 0, 2, 3)),
            U.h[:, :, None] * xp.permute_dims(sums.b[..., 0], (1, 0, 2)),
            xp.zeros_like(U.h) if sums.h is None else sums.h,
        )

    def n_states(self, n_layers: int) -> int:
        """How many arrays of the size of a state there are at most: y, Yi, Fi and Gi of all layers.

        And what a single layer takes beside them.
        """
        s = self.tableau.n_stages
        return (n_layers + 1) * 3 * s + 2 * s + 4

    def ready(self, U: Controls) -> Ready:
        """The controls in the forms that all blocks need."""
        return Ready(self.tableau, self.carry, U)


def ode_net(tableau: ButcherTableau, activation: str = "tanh") -> Network:
    """The ODE network y′ = σ(K y + b), discretised by a Runge-Kutta scheme."""
    return Network(tableau, AffineField(ACTIVATIONS[activation]), carry=1.0)


def feed_forward(activation: str = "tanh") -> Network:
    """The feed-forward baseline y⁺ = h σ(K y + b), which is no ODE."""
    return Network(TABLEAUX["euler"], AffineField(ACTIVATIONS[activation]), carry=0.0)


class Pass(NamedTuple):
    """A pass forward of a block.

    Parameters
    ----------
    y : Stack
        Has yᴺ, (members, n_channels, samples), as its x0.
    memory : _Memory
    x : array of shape (1, n_features + 1, samples) or None
        The features, and ones below them, where the network has a map [V ν].
    """

    y: Stack
    memory: _Memory
    x: Array | None

    @property
    def statuses(self) -> list[Status]:
        """How the stage equations of each layer were solved; empty for explicit schemes."""
        of_layers = (step.statuses.values() for step in self.memory.steps)
        return [reduce(worse, statuses) for statuses in of_layers if statuses]

    @property
    def states(self) -> Array:
        """y⁰ … yᴺ of a pass that was kept, (n_layers + 1, members, n_channels, samples)."""
        return self.memory.stacks.states(len(self.memory.steps) + 1)

    @property
    def entry(self) -> Array | None:
        """Where pᴺ is best written."""
        return self.memory.costate.x[0].array


class Sums(NamedTuple):
    """Sums over the samples, and over the stages i, in the gradient; see `Network.gradient`.

    Σ Gi Yiᵀ, (n_layers, members, n_channels, n_channels); Σ Gi, (n_layers, members, n_channels, 1);
    and Σ ⟨Fi, Γi⟩, (members, n_layers), where the steps are learned.
    """

    K: Array
    b: Array
    h: Array | None


class _Memory:
    """The work arrays in which blocks of one shape go through the layers, and the steps in them.

    `stacks` holds y, F1, …, Fs of every layer, or where they are not kept, of two in turn; `values`
    Y1, …, Ys, of which the first is `stacks` where Y1 = y; `costate` p and V1, …, Vs of one layer.
    """

    def __init__(
        self,
        scratch: Scratch,
        network: Network,
        ready: Ready,
        keep: bool,
        samples: int,
    ) -> None:
        shape = (*ready.shape, samples)
        tableau, s = network.tableau, network.tableau.n_stages
        number = len(ready.layers) + 1 if keep else 2
        self.network, self.layers = network, ready.layers
        self.stacks = Stacks(scratch, "y, F", number, s, shape)
        self.values = [
            self.stacks
            if i == 0 and tableau.blocks[0].explicit
            else Stacks(scratch, f"Y{i}", number, 0, shape)
            for i in range(s)
        ]
        self.steps = [
            Step(
                tableau,
                network.carry,
                network.field,
                layer,
                self.stacks.layers[k % number],
                [own.layers[k % number] for own in self.values],
                self.stacks.layers[(k + 1) % number],
                scratch,
            )
            for k, layer in enumerate(ready.layers)
        ]
        self.end = self.stacks.layers[len(ready.layers) % number]
        self.costate = Stacks(scratch, "p, V", 1, s, shape).layers[0]

    def put_ones(self) -> None:
        """Let the channel below every state be 1, which blocks of other shapes may write to."""
        for stacks in {self.stacks, *self.values}:
            stacks.put_ones()


class _Back:
    """The adjoints of the steps, from the last to the first.

    σ′ takes the place of F, and G that of σ′, unless F is needed for ∂J/∂h.
    """

    def __init__(self, scratch: Scratch, memory: _Memory, with_h: bool, with_p: bool) -> None:
        network, stacks, N = memory.network, memory.stacks, len(memory.steps)
        s, shape = stacks.shape
        self.sigma = Stacks(scratch, "σ′", N, s, shape) if with_h else stacks
        self.ones = scratch.full((shape[2], 1), 1.0)
        # Where libraries do not write in place, one kernel makes G of F and Γ.
        self.slopes_first = scratch.in_place or not network.tableau.explicit
        pull = partial(network.field.slope_times, scratch.xp)
        if self.slopes_first:
            pull = scratch.xp.multiply
        plan = AdjointPlan(scratch, network.tableau)
        gammas = Stacks(scratch, "Γ", s, 0, shape).layers
        self.adjoints = [
            Adjoint(
                plan,
                network.carry,
                memory.layers[k],
                memory.steps[k],
                self.sigma.layers[k],
                memory.costate,
                gammas,
                scratch,
                pull,
                self.sigma.layers[k] if self.slopes_first else stacks.layers[k],
                stacks.layers[k] if with_h else None,
                with_p=k > 0 or with_p,
            )
            for k in reversed(range(N))
        ]

    def of_h(self) -> Array:
        """Σ ⟨Fi, Γi⟩ of this pass, (members, n_layers)."""
        of_layers = [reduce(add, adjoint.of_h.values()) for adjoint in reversed(self.adjoints)]
        return namespace(*of_layers).stack(of_layers, axis=1)


def _products(xp: Namespace, G: Array, y: Array) -> Array:
    """G yᵀ of every layer and member; a single one as matrices, which nobody has to transpose."""
    if G.shape[:2] == (1, 1):
        return xp.matmul(G[0, 0, ...], xp.matrix_transpose(y[0, 0, ...]))[None, None, ...]
    return xp.matmul(G, xp.matrix_transpose(y))


def _sum_over_stages(xp: Namespace, stages: list[list[Array]]) -> Array:
    """The sum over stages of parts that are layers one after the other."""
    sums = [reduce(add, parts) for parts in zip(*stages, strict=True)]
    return sums[0] if len(sums) == 1 else xp.concat(sums, axis=0)


def _with_one(x: Array, scratch: Scratch) -> Array:
    """The features, and ones below them, (1, n_features + 1, samples)."""
    n_features, samples = x.shape
    out = scratch((1, n_features + 1, samples), "x")
    if out is None:
        return scratch.xp.concat([x, scratch.full((1, samples), 1.0)], axis=0)[None, ...]
    out[0, :-1, :] = x
    out[0, -1, :] = 1.0
    return out


def readout(ready: Ready, y: Stack) -> Array:
    """The outputs z = W y + μ of the state, (members, n_outputs, samples)."""
    return namespace(ready.W_mu).matmul(ready.W_mu, y.with_one.array)


def pulled_back(ready: Ready, dz: Array, out: Array | None) -> Array:
    """The costate pᴺ = Wᵀ ∂J/∂z."""
    xp = namespace(dz)
    # BLAS is slow where it has nothing to add up.
    product = xp.multiply if dz.shape[1] == 1 else xp.matmul
    return product(xp.matrix_transpose(ready.W_mu[..., :-1]), dz, out=out)
