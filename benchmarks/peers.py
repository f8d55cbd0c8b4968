"""The same objective and gradient in autograd frameworks, for gradient.py; not run directly.

    J = mean log(1 + exp z) - c z,   z = w·yᴺ + μ,   yℓ⁺¹ = yℓ + h tanh(K yℓ + b)

Each function gets the problem and returns a function that computes J and the flat gradient with
respect to K, b, W and μ as NumPy arrays.  A missing package raises ImportError.
"""

import importlib
import shutil
from functools import partial
from typing import NamedTuple

import numpy as np

STEP = 0.1


class Problem(NamedTuple):
    """Samples X (m, n), classes c (m,), and the controls as NumPy arrays."""

    X: np.ndarray
    c: np.ndarray
    K: np.ndarray
    b: np.ndarray
    W: np.ndarray
    mu: np.ndarray


def problem(cell):
    rng = np.random.default_rng(0)
    m, n, N = cell[:3]
    X = rng.normal(size=(m, n))
    K, b = 0.3 * rng.normal(size=(N, n, n)), 0.3 * rng.normal(size=(N, n))
    W, mu = 0.3 * rng.normal(size=(1, n)), 0.3 * rng.normal(size=1)
    c = X[:, 0] ** 2 > 0.5
    return Problem(*(part.astype(cell.dtype) for part in (X, c, K, b, W, mu)))


def _flat(J, gradients):
    return np.float64(J), np.concatenate([np.asarray(g).ravel() for g in gradients])


def _torch(problem, transform, device="cpu"):
    import torch

    X, c, *controls = (torch.from_numpy(part.copy()).to(device) for part in problem)
    controls = [part.requires_grad_() for part in controls]

    @transform
    def objective(K, b, W, mu):
        y = X
        for Kl, bl in zip(K.unbind(), b.unbind(), strict=True):
            y = y + STEP * torch.tanh(torch.nn.functional.linear(y, Kl, bl))
        z = torch.nn.functional.linear(y, W, mu)[:, 0]
        return torch.nn.functional.binary_cross_entropy_with_logits(z, c)

    def call():
        J = objective(*controls)
        return _flat(J.detach().cpu(), [g.cpu() for g in torch.autograd.grad(J, controls)])

    return call


def torch_eager(problem, device="cpu"):
    return _torch(problem, lambda function: function, device)


def torch_compiled(problem, device="cpu"):
    import torch

    if not shutil.which("g++"):
        raise ImportError("torch.compile needs a C++ compiler")
    mode = "default" if device == "cpu" else "reduce-overhead"  # that is, CUDA graphs
    return _torch(problem, partial(torch.compile, mode=mode), device)


def torchdiffeq(problem):
    import torch

    odeint = importlib.import_module("torchdiffeq").odeint
    X, c = torch.from_numpy(problem.X), torch.from_numpy(problem.c)
    controls = [torch.from_numpy(part.copy()).requires_grad_() for part in problem[2:]]
    N = len(problem.K)
    ends = torch.tensor([0.0, N * STEP], dtype=X.dtype)
    grid = STEP * torch.arange(N + 1, dtype=X.dtype)

    def call():
        K, b, W, mu = controls
        stage = iter(zip(K.unbind(), b.unbind(), strict=True))  # Euler needs one per layer

        def field(t, y):
            return torch.tanh(torch.nn.functional.linear(y, *next(stage)))

        y = odeint(
            field, X, ends, method="euler", options={"grid_constructor": lambda f, y, t: grid}
        )
        z = torch.nn.functional.linear(y[-1], W, mu)[:, 0]
        J = torch.nn.functional.binary_cross_entropy_with_logits(z, c)
        return _flat(J.detach(), torch.autograd.grad(J, controls))

    return call


def jax_jit(problem):
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")  # not TF32, on a GPU
    X, c = jnp.asarray(problem.X), jnp.asarray(problem.c)
    controls = tuple(jnp.asarray(part) for part in problem[2:])

    def objective(controls, X, c):
        K, b, W, mu = controls
        y = X
        for Kl, bl in zip(K, b, strict=True):
            y = y + STEP * jnp.tanh(y @ Kl.T + bl)
        z = (y @ W.T + mu)[:, 0]
        return jnp.mean(jax.nn.softplus(z) - c * z)

    both = jax.jit(jax.value_and_grad(objective))
    return lambda: _flat(*both(controls, X, c))


PEERS = {
    "PyTorch": torch_eager,
    "compiled": torch_compiled,
    "JAX": jax_jit,
    "torchdiffeq": torchdiffeq,
}
