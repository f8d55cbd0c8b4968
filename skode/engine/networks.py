"""Networks as discretised flows: propagate a block forward, pull the costate back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import NamedTuple

from .arrays import Array, Scratch, namespace, to_host
from .controls import Controls, Layer
from .fields import ACTIVATIONS, AffineField
from .implicit import Status, worse
from .linear import TINY, spectral_norm
from .schemes import TABLEAUX
from .solvability import uniquely_solvable
from .stacks import Stack, Stacks
from .stages import Adjoint, AdjointPlan, Step, combination_rows
from .tableaux import ButcherTableau

__all__ = ["Network", "Ready", "Sums", "feed_forward", "ode_net", "pulled_back", "readout"]


@dataclass(frozen=True)
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
        shape = (*ready.shape, x.shape[1])
        memory = scratch.once(_Memory, self, len(ready.layers), keep, shape)
        if scratch.turned_to(memory):
            memory.put_ones()
        y, lifted = memory.stacks.layers[0], None
        if ready.V_nu is None:
            y.put_padded(x)
        else:
            lifted = _with_one(x, scratch)
            y.put(0, scratch.xp.matmul(ready.V_nu, lifted, out=y.out[0]))
        for step, layer in zip(memory.steps, ready.layers, strict=True):
            step(layer)
        return Pass(memory.end, memory, ready.layers, lifted)

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
        xp, F, N = scratch.xp, done.memory.stacks, len(done.layers)
        back = scratch.once(_Back, done.memory, with_h, with_p)
        sigma, costate = back.sigma, done.memory.costate
        # σ′ of all layers at once.
        out = sigma.slopes(N) if scratch.in_place else None
        sigma.put_slopes(self.field.slope(xp, F.slopes(N), out), out)
        costate.put(0, p)
        for adjoint, layer in zip(back.adjoints, reversed(done.layers), strict=True):
            if costates is not None:
                costates.append(xp.asarray(costate.x[0], copy=True))
            adjoint(layer)
        if costates is not None:
            costates.append(xp.asarray(costate.x[0], copy=True))
        K, b, h = [], [], None
        for i, Y in enumerate(done.memory.values):
            G = sigma.slope(i, N)
            K.append(xp.matmul(G, xp.matrix_transpose(Y.states(N))))
            b.append(xp.matmul(G, back.ones))
        if with_h:
            h = xp.stack([adjoint.dh for adjoint in reversed(back.adjoints)], axis=1)
        return costate.x[0] if with_p else None, Sums(reduce(add, K), reduce(add, b), h)

    def gradient(self, U: Controls, sums: Sums) -> tuple[Array, Array, Array]:
        """The gradient with respect to K, b and h from the sums over all blocks."""
        xp = namespace(U.K)
        return (
            U.h[:, :, None, None] * xp.permute_dims(sums.K, (1, 0, 2, 3)),
            U.h[:, :, None] * xp.permute_dims(sums.b[..., 0], (1, 0, 2)),
            xp.zeros_like(U.h) if sums.h is None else sums.h,
        )

    def ready(self, U: Controls) -> Ready:
        """The controls in the forms that all blocks need."""
        xp = namespace(U.K)
        K_b = xp.concat([U.K, U.b[..., None]], axis=3)
        back = xp.matrix_transpose(U.h[:, :, None, None] * U.K)
        h = U.h
        if h.shape[0] > 1 and bool(xp.all(h == h[:1, :])):
            h = h[:1, :]  # one sum for all members costs less
        rows = combination_rows(self.tableau, self.carry, h, Scratch(U.K))
        layers = [
            Layer(K_b[:, k, ...], back[:, k, ...], [row[:, k, ...] for row in rows])
            for k in range(U.K.shape[1])
        ]
        if not self.tableau.explicit:
            layers = self._with_stiffness(U, layers)
        return Ready(
            layers,
            U.b.shape[::2],
            xp.concat([U.W, U.mu[..., None]], axis=2),
            None if U.V is None else xp.concat([U.V, U.nu[..., None]], axis=2),
        )

    def _with_stiffness(self, U: Controls, layers: list[Layer]) -> list[Layer]:
        """The layers with what implicit schemes have to know of them."""
        xp = namespace(U.K)
        stiffness = xp.abs(U.h) * spectral_norm(xp, U.K)
        unique = [False] * len(layers)
        # Tiny matrices are Newton's anyway.
        if U.K.shape[2] * max(len(block.A) for block in self.tableau.blocks) > TINY:
            unique = to_host(xp.all(uniquely_solvable(self.tableau, U.K, U.h), axis=0)).tolist()
        return [
            layer._replace(
                K=U.K[:, number, ...],
                b=U.b[:, number, ...],
                h=U.h[:, number, None, None],
                stiffness=stiffness[:, number, None],
                unique=unique[number],
            )
            for number, layer in enumerate(layers)
        ]


def ode_net(tableau: ButcherTableau, activation: str = "tanh") -> Network:
    """The ODE network y′ = σ(K y + b), discretised by a Runge-Kutta scheme."""
    return Network(tableau, AffineField(ACTIVATIONS[activation]), carry=1.0)


def feed_forward(activation: str = "tanh") -> Network:
    """The feed-forward baseline y⁺ = h σ(K y + b), which is no ODE."""
    return Network(TABLEAUX["euler"], AffineField(ACTIVATIONS[activation]), carry=0.0)


class Ready(NamedTuple):
    """The controls in the forms that all blocks need.

    Parameters
    ----------
    layers : list of Layer
    shape : tuple (members, n_channels)
    W_mu : array of shape (members, n_outputs, n_channels + 1)
        The readout, [W μ].
    V_nu : array of shape (members, n_channels, n_features + 1) or None
        The map [V ν] of the features to y⁰, where there is one.
    """

    layers: list[Layer]
    shape: tuple[int, int]
    W_mu: Array
    V_nu: Array | None


class Pass(NamedTuple):
    """A pass forward of a block.

    Parameters
    ----------
    y : Stack
        Has yᴺ, (members, n_channels, samples), as its x0.
    memory : _Memory
    layers : list of Layer
    x : array of shape (1, n_features + 1, samples) or None
        The features, and ones below them, where the network has a map [V ν].
    """

    y: Stack
    memory: _Memory
    layers: list[Layer]
    x: Array | None

    @property
    def statuses(self) -> list[Status]:
        """How the stage equations of each layer were solved; empty for explicit schemes."""
        of_layers = (step.statuses.values() for step in self.memory.steps)
        return [reduce(worse, statuses) for statuses in of_layers if statuses]

    @property
    def states(self) -> Array:
        """y⁰ … yᴺ of a pass that was kept, (n_layers + 1, members, n_channels, samples)."""
        return self.memory.stacks.states(len(self.layers) + 1)

    @property
    def entry(self) -> Array | None:
        """Where pᴺ is best written, or None where `out` would be ignored anyway."""
        return self.memory.costate.out[0]


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
        n_layers: int,
        keep: bool,
        shape: tuple[int, int, int],
    ) -> None:
        tableau, s = network.tableau, network.tableau.n_stages
        number = n_layers + 1 if keep else 2
        self.network = network
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
                self.stacks.layers[k % number],
                [own.layers[k % number] for own in self.values],
                self.stacks.layers[(k + 1) % number],
                scratch,
            )
            for k in range(n_layers)
        ]
        self.end = self.stacks.layers[n_layers % number]
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
        self.ones = scratch.array([[1.0]] * shape[2])
        plan = AdjointPlan(scratch, network.tableau)
        gammas = Stacks(scratch, "Γ", s, 0, shape).layers
        self.adjoints = [
            Adjoint(
                plan,
                memory.steps[k],
                network.carry,
                self.sigma.layers[k],
                memory.costate,
                gammas,
                scratch,
                stacks.layers[k] if with_h else None,
                with_p=k > 0 or with_p,
            )
            for k in reversed(range(N))
        ]


def _with_one(x: Array, scratch: Scratch) -> Array:
    """The features, and ones below them, (1, n_features + 1, samples)."""
    n_features, samples = x.shape
    out = scratch((1, n_features + 1, samples), "x")
    if out is None:
        return scratch.xp.concat([x, scratch.array([[1.0] * samples])], axis=0)[None, ...]
    out[0, :-1, :] = x
    out[0, -1, :] = 1.0
    return out


def readout(ready: Ready, y: Stack) -> Array:
    """The outputs z = W y + μ of the state, (members, n_outputs, samples)."""
    return namespace(ready.W_mu).matmul(ready.W_mu, y.with_one)


def pulled_back(ready: Ready, dz: Array, out: Array | None) -> Array:
    """The costate pᴺ = Wᵀ ∂J/∂z."""
    xp = namespace(dz)
    # BLAS is slow where it has nothing to add up.
    product = xp.multiply if dz.shape[1] == 1 else xp.matmul
    return product(xp.matrix_transpose(ready.W_mu[..., :-1]), dz, out=out)
