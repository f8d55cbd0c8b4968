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
from .stages import AdjointPlan, Step, adjoint_step, combination_rows, step
from .tableaux import ButcherTableau

__all__ = ["Network", "feed_forward", "ode_net", "pulled_back", "readout"]


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
        self,
        U: Controls,
        layers: list[Layer],
        x: Array,
        scratch: Scratch,
        steps: list[Step] | None = None,
        states: list[Array] | None = None,
    ) -> tuple[Stack, list[Status]]:
        """The state yᴺ of every member from the features of a block.

        Parameters
        ----------
        U : Controls
        layers : list of Layer
            What `layers` makes of them, once for all blocks.
        x : array of shape (members or 1, n_channels, samples)
            The state y⁰; or where the network has a map V x + ν of its own, the features and below
            them a row of ones, (1, n_features + 1, samples).
        scratch : Scratch
            The result lies in it, until it is used again.
        steps : list, optional
            Filled with what `pull_back` needs, layer by layer.
        states : list, optional
            Filled with copies of y⁰ … yᴺ.

        Returns
        -------
        y : Stack
            Has yᴺ, (members, n_channels, samples), as its x0.
        statuses : list of Status
            How the stage equations of each layer were solved; empty for explicit schemes.
        """
        xp, kept = scratch.xp, steps is not None
        # Layers that are not kept take two stacks in turn.
        walk = scratch.once(_walk, self.tableau, len(layers), kept, (*U.b.shape[::2], x.shape[2]))
        y = walk.stacks.layers[0]
        if U.V is None:
            y.put(0, xp.broadcast_to(x, (*U.b.shape[::2], x.shape[2])))
        else:
            V_nu = xp.concat([U.V, U.nu[..., None]], axis=2)
            y.put(0, xp.matmul(V_nu, x, out=y.out[0]))
        if states is not None:
            states.append(xp.asarray(y.x[0], copy=True))
        statuses: list[Status] = []
        for layer, (values, end) in zip(layers, walk.steps, strict=True):
            matrices, status = step(self.tableau, self.field, layer, y, values, end, scratch)
            y = end
            if status:
                statuses.append(reduce(worse, status))
            if steps is not None:
                steps.append(Step(layer, matrices))
            if states is not None:
                states.append(xp.asarray(y.x[0], copy=True))
        return y, statuses

    def _costate(self, scratch: Scratch, shape: tuple[int, ...]) -> Stack:
        """The memory of the costate, and of what the stages add to it."""
        stack: Stack = scratch.once(Stacks, "p, V", 1, len(self.tableau.b), shape).layers[0]
        return stack

    def entry(self, U: Controls, scratch: Scratch, samples: int) -> Array | None:
        """Where pᴺ is best written for `pull_back`, or None where `out` would be ignored anyway."""
        return self._costate(scratch, (*U.b.shape[::2], samples)).out[0]

    def pull_back(
        self,
        U: Controls,
        steps: list[Step],
        p: Array,
        scratch: Scratch,
        with_h: bool,
        with_p: bool = True,
        costates: list[Array] | None = None,
    ) -> tuple[Array | None, tuple[Array, Array, Array]]:
        """The costate p⁰ = ∂J/∂y⁰ from pᴺ, and the gradient with respect to K, b and h.

        p⁰ is None unless `with_p`; where nothing depends on it, that saves a matrix product.

        The gradient with respect to h is zero unless
        `with_h`, which saves a pass over every stage where the steps are fixed.  Copies of
        pᴺ … p⁰ are appended to `costates`.
        """
        xp, plan = scratch.xp, scratch.once(AdjointPlan, self.tableau)
        N, s = len(steps), len(self.tableau.b)
        walk = scratch.once(_walk, self.tableau, N, True, p.shape)
        # σ′ of all layers at once; they take the place of F, and G theirs, unless F is needed.
        F = walk.stacks
        sigma = scratch.once(Stacks, "σ′", N, s, p.shape) if with_h else F
        out = sigma.slopes(N) if scratch.in_place else None
        sigma.put_slopes(self.field.slope(xp, F.slopes(N), out), out)
        costate = self._costate(scratch, p.shape)
        costate.put(0, p)
        if costates is not None:
            costates.append(xp.asarray(p, copy=True))
        dh: list[Array] = [None] * N
        for number in reversed(range(N)):
            dh[number] = adjoint_step(
                plan,
                self.carry,
                steps[number],
                sigma.layers[number],
                costate,
                scratch,
                F.layers[number] if with_h else None,
                with_p=number > 0 or with_p,
            )
            if costates is not None:
                costates.append(xp.asarray(costate.x[0], copy=True))
        dK, db = _sums(sigma.slopes(N), walk.values, scratch)
        return costate.x[0] if with_p else None, (
            U.h[:, :, None, None] * xp.permute_dims(dK, (1, 0, 2, 3)),
            U.h[:, :, None] * xp.permute_dims(db, (1, 0, 2)),
            xp.stack(dh, axis=1) if with_h else xp.zeros_like(U.h),
        )

    def layers(self, U: Controls) -> list[Layer]:
        """The controls layer by layer, with what implicit schemes have to know of them."""
        xp = namespace(U.K)
        K_b = xp.concat([U.K, U.b[..., None]], axis=3)
        hK_transposed = xp.matrix_transpose(U.h[:, :, None, None] * U.K)
        rows = combination_rows(self.tableau, self.carry, U.h, Scratch(U.K))
        layers = [
            Layer(
                K_b[:, number, ...],
                hK_transposed[:, number, ...],
                [row[:, number, ...] for row in rows],
                0 if self.carry else 1,
            )
            for number in range(U.K.shape[1])
        ]
        if self.tableau.explicit:
            return layers
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


def readout(U: Controls, y: Stack) -> Array:
    """The outputs z = W y + μ of the state, (members, n_outputs, samples)."""
    xp = namespace(U.W)
    return xp.matmul(xp.concat([U.W, U.mu[..., None]], axis=2), y.with_one)


def pulled_back(U: Controls, dz: Array, out: Array | None) -> Array:
    """The costate pᴺ = Wᵀ ∂J/∂z."""
    xp, W_transposed = namespace(dz), namespace(dz).matrix_transpose(U.W)
    # BLAS is slow where it has nothing to add up.
    product = xp.multiply if dz.shape[1] == 1 else xp.matmul
    return product(W_transposed, dz, out=out)


class _Walk(NamedTuple):
    """The memory that the layers are gone through with.

    Parameters
    ----------
    stacks : Stacks
        y, F1, …, Fs.
    values : list of Stacks
        Y1, …, Ys; the first is `stacks` where Y1 = y.
    steps : list
        Of each layer, the stacks of Y1, …, Ys, and that of y⁺.
    """

    stacks: Stacks
    values: list[Stacks]
    steps: list[tuple[list[Stack], Stack]]


def _walk(
    scratch: Scratch, tableau: ButcherTableau, n_layers: int, kept: bool, shape: tuple[int, ...]
) -> _Walk:
    number, s = n_layers + 1 if kept else 2, len(tableau.b)
    stacks = scratch.once(Stacks, f"y, F {kept}", number, s, shape)
    values = [
        stacks
        if i == 0 and tableau.blocks[0].explicit
        else scratch.once(Stacks, f"Y{i} {kept}", number, 0, shape)
        for i in range(s)
    ]
    steps = [
        ([own.layers[k % number] for own in values], stacks.layers[(k + 1) % number])
        for k in range(n_layers)
    ]
    return _Walk(stacks, values, steps)


def _sums(G: Array, values: list[Stacks], scratch: Scratch) -> tuple[Array, Array]:
    """Σi Gi Yiᵀ and the row sums of Σi Gi, of all layers, (n_layers, members, …)."""
    xp, ones = scratch.xp, scratch.once(_ones, G.shape[-1])
    dK, db = [], []
    for i, Y in enumerate(values):
        Gi = G[:, :, i, ...]
        dK.append(xp.matmul(Gi, xp.matrix_transpose(Y.states(G.shape[0]))))
        db.append(xp.matmul(Gi, ones)[..., 0])
    return reduce(add, dK), reduce(add, db)


def _ones(scratch: Scratch, size: int) -> Array:
    return scratch.array([[1.0]] * size)
