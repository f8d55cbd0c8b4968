"""Networks as discretised flows: propagate a block forward, pull the costate back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add

from .arrays import Array, Scratch, namespace, to_host
from .controls import Controls, Layer
from .fields import ACTIVATIONS, AffineField
from .implicit import Status
from .linear import TINY, spectral_norm
from .schemes import TABLEAUX
from .solvability import uniquely_solvable
from .stacks import Stack, Stacks
from .stages import AdjointPlan, Step, adjoint_step, combination_rows, keeps_values, step
from .tableaux import ButcherTableau

__all__ = ["Network", "feed_forward", "ode_net", "readout"]


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

        Returns
        -------
        y : Stack
            Has yᴺ, (members, n_channels, samples), as its x0.
        statuses : list of Status
            How the stage equations of each layer were solved; empty for explicit schemes.
        """
        xp, kept = scratch.xp, steps is not None
        shape = (*U.b.shape[::2], x.shape[2])
        # Layers that are not kept take two stacks in turn.
        number = len(layers) + 1 if kept else 2
        stacks, values = self._stacks(scratch, number, shape)
        end = stacks[0]
        if U.V is None:
            end.put(0, xp.broadcast_to(x, shape))
        else:
            V_nu = xp.concat([U.V, U.nu[..., None]], axis=2)
            end.put(0, xp.matmul(V_nu, x, out=end.out[0]))
        statuses: list[Status] = []
        for layer, controls in enumerate(layers):
            now, end = layer % number, stacks[(layer + 1) % number]
            own = [part and part[now] for part in values]
            done = step(self.tableau, self.field, controls, stacks[now], own, end, scratch)
            statuses += done.status
            if steps is not None:
                steps.append(done)
        return end, statuses

    def _stacks(
        self, scratch: Scratch, number: int, shape: tuple[int, ...]
    ) -> tuple[Stacks, list[Stacks | None]]:
        """The memory of states and slopes, and of the stages that are no states."""
        return scratch.once(Stacks, "y, F", number, len(self.tableau.b), shape), [
            scratch.once(Stacks, f"Y{i}", number, 0, shape) if own else None
            for i, own in enumerate(keeps_values(self.tableau))
        ]

    def _costates(self, scratch: Scratch, shape: tuple[int, ...]) -> Stacks:
        """The memory of costates: those of the layers ℓ with even ℓ, and the others."""
        stacks: Stacks = scratch.once(Stacks, "p, V", 2, len(self.tableau.b), shape)
        return stacks

    def entry(self, U: Controls, scratch: Scratch, samples: int) -> Array | None:
        """Where pᴺ is best written for `pull_back`, or None where `out` would be ignored anyway."""
        shape = (*U.b.shape[::2], samples)
        return self._costates(scratch, shape)[U.b.shape[1] % 2].out[0]

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
        xp, plan = scratch.xp, scratch.once(AdjointPlan, self.tableau, self.carry)
        N, s = len(steps), len(self.tableau.b)
        stacks, values = self._stacks(scratch, N + 1, p.shape)
        F = stacks.slopes(N)
        # σ′ of all layers at once; they take the place of F, and G theirs, unless F is needed.
        sigma = self.field.slope(xp, F, out=scratch(F.shape, "slope") if with_h else F)
        two = self._costates(scratch, p.shape)
        two[N % 2].put(0, p)
        if costates is not None:
            costates.append(xp.asarray(p, copy=True))
        G: list[list[Array]] = [[]] * N
        dh: list[Array] = [None] * N
        for number in reversed(range(N)):
            now, end = two[(number + 1) % 2], two[number % 2]
            of_stages = [sigma[number, :, i, ...] for i in range(s)]
            wanted = number > 0 or with_p
            G[number], dh[number] = adjoint_step(
                plan, steps[number], of_stages, now, end, scratch, with_h, wanted
            )
            if costates is not None:
                costates.append(xp.asarray(end.x[0], copy=True))
        if not scratch.in_place:
            sigma = xp.stack([xp.stack(of_stages, axis=1) for of_stages in G])
        dK, db = self._sums(sigma, stacks, values, scratch)
        return two[0].x[0] if with_p else None, (
            U.h[:, :, None, None] * xp.permute_dims(dK, (1, 0, 2, 3)),
            U.h[:, :, None] * xp.permute_dims(db, (1, 0, 2)),
            xp.stack(dh, axis=1) if with_h else xp.zeros_like(U.h),
        )

    def _sums(
        self, G: Array, stacks: Stacks, values: list[Stacks | None], scratch: Scratch
    ) -> tuple[Array, Array]:
        """Σi Gi Yiᵀ and the row sums of Σi Gi, of all layers, (n_layers, members, …)."""
        xp, N = scratch.xp, G.shape[0]
        ones = scratch.once(_ones, G.shape[-1])
        dK, db = [], []
        for i, own in enumerate(values):
            Y = (own or stacks).states(N)
            dK.append(xp.matmul(G[:, :, i, ...], xp.matrix_transpose(Y)))
            db.append(xp.matmul(G[:, :, i, ...], ones)[..., 0])
        return reduce(add, dK), reduce(add, db)

    def layers(self, U: Controls) -> list[Layer]:
        """The controls layer by layer, with what implicit schemes have to know of them."""
        xp = namespace(U.K)
        K_b = xp.concat([U.K, U.b[..., None]], axis=3)
        hK_transposed = xp.matrix_transpose(U.h[:, :, None, None] * U.K)
        rows = combination_rows(self.tableau, self.carry, U.h, Scratch(U.K))
        layers = [
            Layer(
                U.K[:, number, ...],
                U.b[:, number, ...],
                U.h[:, number, None, None],
                K_b=K_b[:, number, ...],
                hK_transposed=hK_transposed[:, number, ...],
                rows=[row[:, number, ...] for row in rows],
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
            layer._replace(stiffness=stiffness[:, number, None], unique=unique[number])
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


def _ones(scratch: Scratch, size: int) -> Array:
    return scratch.array([[1.0]] * size)
