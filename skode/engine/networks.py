"""Networks as discretised flows: propagate a block forward, pull the costate back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

from .arrays import Array, Scratch, namespace, to_host
from .controls import Controls, Layer
from .fields import ACTIVATIONS, AffineField
from .implicit import Status, worse
from .linear import TINY, spectral_norm
from .schemes import TABLEAUX
from .solvability import uniquely_solvable
from .stacks import Stack, Stacks
from .stages import AdjointPlan, Step, adjoint_step, combination_rows, step, step_plan
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

    def propagate(
        self, ready: Ready, x: Array, scratch: Scratch, keep: bool = False, states: bool = False
    ) -> Pass:
        """The state yᴺ of every member from the features of a block.

        Parameters
        ----------
        ready : Ready
            What `ready` makes of the controls, once for all blocks.
        x : array of shape (members or 1, n_channels, samples)
            The state y⁰; or where the network has a map V x + ν of its own, the features and below
            them a row of ones, (1, n_features + 1, samples).
        scratch : Scratch
            The result lies in it, until it is used again.
        keep : bool, default=False
            Whether what `pull_back` needs is kept.
        states : bool, default=False
            Whether copies of y⁰ … yᴺ are made.
        """
        xp, shape = scratch.xp, (*ready.shape, x.shape[2])
        memory = scratch.once(_Memory, self.tableau, self.carry, len(ready.layers), keep, shape)
        y = memory.stacks.layers[0]
        if ready.V_nu is None:
            y.put(0, xp.broadcast_to(x, shape))
        else:
            y.put(0, xp.matmul(ready.V_nu, x, out=y.out[0]))
        copies = [xp.asarray(y.x[0], copy=True)] if states else []
        steps: list[Step] = []
        statuses: list[Status] = []
        for layer, (values, end) in zip(ready.layers, memory.steps, strict=True):
            matrices, status = step(
                self.tableau, self.field, memory.columns, layer, y, values, end, scratch
            )
            steps.append((layer, matrices))
            if status:
                statuses.append(reduce(worse, status))
            y = end
            if states:
                copies.append(xp.asarray(y.x[0], copy=True))
        return Pass(y, statuses, steps, memory, copies)

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
        N, F, costate = len(done.steps), memory.stacks, memory.costate
        # σ′ of all layers at once; they take the place of F, and G theirs, unless F is needed.
        sigma = scratch.once(Stacks, "σ′", N, *F.shape) if with_h else F
        out = sigma.slopes(N) if scratch.in_place else None
        sigma.put_slopes(self.field.slope(xp, F.slopes(N), out), out)
        costate.put(0, p)
        if costates is not None:
            costates.append(xp.asarray(p, copy=True))
        dh: list[Array] = [None] * N
        for number in reversed(range(N)):
            dh[number] = adjoint_step(
                memory.plan,
                self.carry,
                done.steps[number],
                sigma.layers[number],
                costate,
                scratch,
                F.layers[number] if with_h else None,
                with_p=number > 0 or with_p,
            )
            if costates is not None:
                costates.append(xp.asarray(costate.x[0], copy=True))
        K: Array = 0.0
        b: Array = 0.0
        for i, Y in enumerate(memory.values):
            G = sigma.slope(i, N)
            K = K + xp.matmul(G, xp.matrix_transpose(Y.states(N)))
            b = b + xp.matmul(G, memory.ones)
        h = xp.stack(dh, axis=1) if with_h else None
        return costate.x[0] if with_p else None, Sums(K, b, h)

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
        rows = combination_rows(self.tableau, self.carry, U.h, Scratch(U.K))
        layers = [
            Layer(
                K_b[:, number, ...],
                back[:, number, ...],
                [row[:, number, ...] for row in rows],
            )
            for number in range(U.K.shape[1])
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
    statuses : list of Status
        How the stage equations of each layer were solved; empty for explicit schemes.
    steps : list of Step
    memory : _Memory
    states : list of arrays
        Copies of y⁰ … yᴺ, where they were asked for.
    """

    y: Stack
    statuses: list[Status]
    steps: list[Step]
    memory: _Memory
    states: list[Array]

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
    """The work arrays that a block goes through the layers with.

    `stacks` holds y, F1, …, Fs of every layer, or where they are not kept, of two in turn; `values`
    Y1, …, Ys, of which the first is `stacks` where Y1 = y; `steps` for every layer the stacks of
    Y1, …, Ys and that of y⁺.
    """

    def __init__(
        self,
        scratch: Scratch,
        tableau: ButcherTableau,
        carry: float,
        n_layers: int,
        keep: bool,
        shape: tuple[int, int, int],
    ) -> None:
        number, s = n_layers + 1 if keep else 2, len(tableau.b)
        self.columns = [columns for _, columns in step_plan(tableau, carry)]
        self.stacks = Stacks(scratch, f"y, F {keep}", number, s, shape)
        self.values = [
            self.stacks
            if i == 0 and tableau.blocks[0].explicit
            else Stacks(scratch, f"Y{i} {keep}", number, 0, shape)
            for i in range(s)
        ]
        self.steps = [
            ([own.layers[k % number] for own in self.values], self.stacks.layers[(k + 1) % number])
            for k in range(n_layers)
        ]
        if keep:
            self.costate = Stacks(scratch, "p, V", 1, s, shape).layers[0]
            self.plan = AdjointPlan(scratch, tableau)
            self.ones = scratch.array([[1.0]] * shape[2])


def readout(ready: Ready, y: Stack) -> Array:
    """The outputs z = W y + μ of the state, (members, n_outputs, samples)."""
    return namespace(ready.W_mu).matmul(ready.W_mu, y.with_one)


def pulled_back(ready: Ready, dz: Array, out: Array | None) -> Array:
    """The costate pᴺ = Wᵀ ∂J/∂z."""
    xp = namespace(dz)
    # BLAS is slow where it has nothing to add up.
    product = xp.multiply if dz.shape[1] == 1 else xp.matmul
    return product(xp.matrix_transpose(ready.W_mu[..., :-1]), dz, out=out)
