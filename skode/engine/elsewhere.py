"""Rows of X in other processes, which do the work on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .arrays import Array

if TYPE_CHECKING:
    from .controls import Controls
    from .kernels import Problem, Samples, Sums
    from .losses import Loss
    from .networks import Network


class Elsewhere(ABC):
    """Rows of X that are not in this process; all that is known here is shape and dtype.

    Controls, targets and results are on the host.
    """

    shape: tuple[int, int]
    dtype: Any

    @abstractmethod
    def add_up(
        self,
        problem: Problem,
        samples: Samples,
        flat: Array,
        gradient: bool,
        tolerance: Array | None = None,
    ) -> Sums:
        """Return the sums over samples whose X this is; see `Kernel.evaluate`."""

    @abstractmethod
    def mean_outputs(
        self, network: Network, loss: Loss, U: Controls, weights: Array | None = None
    ) -> Array:
        """Return the mean outputs of networks; see the function in `prediction`."""

    @abstractmethod
    def apply(self, function: Callable[[Array, int], Any]) -> list[Any]:
        """Return ``function(part, start)`` for parts of the rows, in their order.

        `start` is the number of the first row of a part.
        """
