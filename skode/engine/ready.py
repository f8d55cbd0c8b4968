"""The controls in the forms that all blocks need."""

from __future__ import annotations

from .arrays import Array, Scratch, host, namespace, on_host, to_host
from .controls import Controls
from .implicit import StageControls
from .linear import TINY, spectral_norm
from .places import Place
from .solvability import uniquely_solvable
from .stages import Layer, combination_rows
from .tableaux import ButcherTableau

__all__ = ["Ready"]


def _equal_steps(U: Controls) -> bool:
    """Whether all members have the same steps, so that one sum serves for all.

    To ask a device would take longer than what it saves.
    """
    if U.h.shape[0] == 1 or not on_host(U.h):
        return bool(U.h.shape[0] == 1)
    return bool(host.all(U.h == U.h[:1, :]))


class Ready:
    """The controls in the forms that all blocks need, in the same places for one after another.

    Parameters
    ----------
    tableau : ButcherTableau
    carry : float
        1 for an ODE network, 0 for a feed-forward network.
    U : Controls
        The first of them.

    Attributes
    ----------
    layers : list of Layer
    shape : tuple (members, n_channels)
    W_mu : array of shape (members, n_outputs, n_channels + 1)
        The readout, [W μ].
    V_nu : array of shape (members, n_channels, n_features + 1) or None
        The map [V ν] of the features to y⁰, where there is one.
    """

    def __init__(self, tableau: ButcherTableau, carry: float, U: Controls) -> None:
        self._tableau, scratch = tableau, Scratch(U.K)
        self._in_place = scratch.in_place
        self._rows = combination_rows(tableau, carry, scratch)
        self._equal_steps = _equal_steps(U)
        self.shape: tuple[int, int] = U.b.shape[::2]
        forms = self._forms(U)
        self._of_layers = [_OfLayers(Scratch(U.K), form) for form in forms]
        self.layers = []
        for places in zip(*(form.places for form in self._of_layers), strict=True):
            affine, (back, *rows) = places[: -len(self._rows) - 1], places[-len(self._rows) - 1 :]
            self.layers.append(Layer(list(affine), back, rows))
        self._put(U, forms)

    def suits(self, U: Controls) -> bool:
        """Whether these controls have the same places."""
        return bool(self.shape == U.b.shape[::2] and self._equal_steps == _equal_steps(U))

    def put(self, U: Controls) -> None:
        """Take these controls."""
        self._put(U, self._forms(U))

    def _put(self, U: Controls, forms: list[Array]) -> None:
        xp = namespace(U.K)
        for places, form in zip(self._of_layers, forms, strict=True):
            places.put(form)
        self.W_mu = xp.concat([U.W, U.mu[..., None]], axis=2)
        self.V_nu = None if U.V is None else xp.concat([U.V, U.nu[..., None]], axis=2)
        if not self._tableau.explicit:
            self._put_stage_controls(U)

    def _forms(self, U: Controls) -> list[Array]:
        """The places of a `Layer`, (members or 1, n_layers, …) each."""
        xp = namespace(U.K)
        h = (U.h[:1, :] if self._equal_steps else U.h)[..., None, None]
        affine = [U.K, U.b[..., None]]
        if self._in_place:
            affine = [xp.concat(affine, axis=3)]
        back = U.h[:, :, None, None] * xp.matrix_transpose(U.K)
        return [*affine, back, *(of_y + h * of_F for of_y, of_F in self._rows)]

    def _put_stage_controls(self, U: Controls) -> None:
        """What implicit schemes have to know of the layers."""
        xp = namespace(U.K)
        stiffness = xp.abs(U.h) * spectral_norm(xp, U.K)
        unique = [False] * len(self.layers)
        # Tiny matrices are Newton's anyway.
        if U.K.shape[2] * max(len(block.A) for block in self._tableau.blocks) > TINY:
            unique = to_host(xp.all(uniquely_solvable(self._tableau, U.K, U.h), axis=0)).tolist()
        for k, layer in enumerate(self.layers):
            layer.stage_controls = StageControls(
                K=U.K[:, k, ...],
                b=U.b[:, k, ...],
                h=U.h[:, k, None, None],
                stiffness=stiffness[:, k, None],
                unique=unique[k],
            )


class _OfLayers:
    """An array (members, n_layers, …), and a place for the part of each layer."""

    def __init__(self, scratch: Scratch, like: Array) -> None:
        self._array = scratch(like.shape)
        n_layers = range(like.shape[1])
        if self._array is None:
            self.places = [Place() for _ in n_layers]
        else:
            self.places = [Place(self._array[:, k, ...]) for k in n_layers]

    def put(self, array: Array) -> None:
        if self._array is not None:
            self._array[...] = array
            return
        for k, place in enumerate(self.places):
            place.put(array[:, k, ...])
