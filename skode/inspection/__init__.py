"""Functions that show how a fitted network works."""

from __future__ import annotations

from ._control_hessian import ControlHessian, control_hessian
from ._costates import costates
from ._input_gradients import input_gradients
from ._step_doubling import StepDoublingGap, step_doubling_gap
from ._trajectories import trajectories

__all__ = [
    "ControlHessian",
    "StepDoublingGap",
    "control_hessian",
    "costates",
    "input_gradients",
    "step_doubling_gap",
    "trajectories",
]
