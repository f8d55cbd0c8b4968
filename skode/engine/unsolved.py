"""The error for samples whose stage equations have no solution."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .arrays import host, to_host
from .implicit import Status


class UnsolvedStagesError(ValueError):
    """The stage equations of an implicit scheme could not be solved for some samples.

    `samples` are rows of X, in ascending order.  `layers` are the first layers that failed, counted
    from 0, and `residuals` the largest entries of the residuals there.
    """

    def __init__(self, samples: list[int], layers: list[int], residuals: list[float]) -> None:
        self.samples, self.layers, self.residuals = samples, layers, residuals
        shown = ", ".join(
            f"sample {i} at layer {layer} "
            f"({f'residual {residual:.1e}' if math.isfinite(residual) else 'overflow'})"
            for i, layer, residual in list(zip(samples, layers, residuals, strict=True))[:5]
        )
        super().__init__(
            f"The stage equations could not be solved for {len(samples)} samples: {shown}"
            f"{', …' if len(samples) > 5 else ''}. Leave them out if they are far from the data of "
            "the fit; or fit again with stage_guard='bound', a smaller h, or an explicit scheme."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.samples, self.layers, self.residuals)

    @classmethod
    def raise_for(cls, statuses: list[Status]) -> None:
        """Raise if a sample is unsolved; `statuses` has one entry per layer."""
        samples, layers, residuals = [], [], []
        failed = [~to_host(status.converged) for status in statuses]  # (members, samples) each
        for i in host.nonzero(host.any(failed, axis=(0, 1)))[0] if failed else []:
            layer = next(k for k, mask in enumerate(failed) if mask[:, i].any())
            samples.append(int(i))
            layers.append(layer)
            residual = to_host(statuses[layer].residual)[:, i]
            residuals.append(float(residual[failed[layer][:, i]].max()))
        if samples:
            raise cls(samples, layers, residuals)

    @classmethod
    def joined(cls, errors: Iterable[tuple[int, UnsolvedStagesError]]) -> UnsolvedStagesError:
        """Join the errors of several parts of X, each with the number of its first row."""
        samples, layers, residuals = [], [], []
        for first, error in errors:
            samples += [first + i for i in error.samples]
            layers += error.layers
            residuals += error.residuals
        return cls(samples, layers, residuals)
