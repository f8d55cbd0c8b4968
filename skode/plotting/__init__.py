"""Displays of fitted networks, in the style of scikit-learn's. They need matplotlib."""

from __future__ import annotations

from ._candidates import CandidatesDisplay
from ._control_hessian import ControlHessianDisplay
from ._controls import ControlsDisplay
from ._loss_curve import LossCurveDisplay
from ._step_size import StepSizeDisplay
from ._trajectory import TrajectoryDisplay

__all__ = [
    "CandidatesDisplay",
    "ControlHessianDisplay",
    "ControlsDisplay",
    "LossCurveDisplay",
    "StepSizeDisplay",
    "TrajectoryDisplay",
]
