import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skode.engine.newton import SMALL, StageMatrix, inverse, norm_bound, product
from skode.engine.schemes import TABLEAUX
from tests.engine.everywhere import home, on, there

ONE, GAUSS4, RADAU5 = (((0.5,),), TABLEAUX["gauss4"].A, TABLEAUX["radau_iia5"].A)


def last(M):
    """Move the samples to the front and the matrix to the end, as NumPy requires."""
    return np.moveaxis(M, -1, 1)


@pytest.mark.parametrize("size", [1, 2, 3, SMALL, SMALL + 1, 20])
def test_inverse_and_product(size, xp):
    rng = np.random.default_rng(0)
    M = np.eye(size)[..., None] + rng.normal(size=(2, size, size, 5)) / (2 * size)
    r = rng.normal(size=(2, size, 5))
    X = on(xp, inverse)(xp, M)
    np.testing.assert_allclose(
        last(X) @ last(M), np.broadcast_to(np.eye(size), (2, 5, size, size)), atol=1e-13
    )
    x = on(xp, product)(xp, X, r)
    np.testing.assert_allclose(np.einsum("bijm,bjm->bim", M, x), r, atol=1e-13)
    shared = on(xp, product)(xp, X[..., :1], r)
    np.testing.assert_allclose(np.einsum("bij,bjm->bim", M[..., 0], shared), r, atol=1e-13)


def test_a_pivot_of_zero_is_no_obstacle(xp):
    M = np.zeros((1, 3, 3, 2))
    M[0, :, :, 0] = [[0, 1, 0], [1, 0, 0], [0, 0, 2]]
    M[0, :, :, 1] = np.eye(3)
    with np.errstate(divide="ignore", invalid="ignore"):
        X = on(xp, inverse)(xp, M)
    np.testing.assert_allclose(last(X) @ last(M), [[np.eye(3)] * 2], atol=1e-15)


@pytest.mark.parametrize("size", [1, 2, 3, SMALL + 1])
def test_a_singular_matrix_spoils_only_itself(size, xp):
    M = np.repeat(np.eye(size)[None, ..., None], 3, axis=3)
    M[0, -1, -1, 1] = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        X = on(xp, inverse)(xp, M)
    assert not np.isfinite(X[..., 1]).all()
    np.testing.assert_array_equal(X[..., [0, 2]], M[..., [0, 2]])


def dense(A, K, h, sigma):
    """Return I - h (A ⊗ I) diag(J1, …, Jk) per member and sample; indices are (channel, stage).

    `sigma` is σ′ at the stages.
    """
    members, n, k, m = sigma.shape
    E = np.einsum("ij,bcjm,bcd->bmcidj", A, sigma, K).reshape(members, m, n * k, n * k)
    return np.eye(n * k) - h[:, None] * E


def setting(k, n, members=2, m=5, seed=0):
    rng = np.random.default_rng(seed)
    K = rng.normal(size=(members, n, n)) / n**0.5
    h = rng.uniform(0.1, 0.5, size=(members, 1, 1))
    return K, h, rng.uniform(0.2, 1, size=(members, n, k, m)), rng.normal(size=(members, n, k, m))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("n", [2, 16])
@pytest.mark.parametrize("A", [ONE, GAUSS4, RADAU5])
def test_newtons_matrix(A, n, transposed, xp):
    K, h, sigma, R = setting(len(A), n)
    K_, h_, R_ = there(xp, (K, h, R))
    matrix = StageMatrix(A, K_, h_)
    assert not matrix.computed
    np.testing.assert_array_equal(home(xp, matrix.solve(R_)), R)
    matrix.compute(there(xp, sigma))
    assert matrix.computed
    found = home(xp, matrix.solve(R_, transposed))
    M = dense(A, K, h, sigma)
    M = np.swapaxes(M, -1, -2) if transposed else M
    flat = np.moveaxis(R.reshape(2, -1, 5), -1, 1)[..., None]
    expected = np.moveaxis(np.linalg.solve(M, flat)[..., 0], 1, -1).reshape(R.shape)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@given(st.integers(1, 6), st.integers(0, 100), st.sampled_from([1e-200, 1.0, 1e200]))
def test_the_bound_of_a_norm_is_one_and_close(xp, n, seed, size):
    K = size * np.random.default_rng(seed).normal(size=(2, 3, n, n))
    norm, found = np.linalg.norm(K, ord=2, axis=(2, 3)), on(xp, norm_bound)(xp, K)
    assert (norm <= found).all()
    assert (found <= 1.0001 * n ** (1 / 16) * norm).all()


def test_the_bound_of_a_norm_of_what_is_not_finite(xp):
    K = np.zeros((3, 2, 2))
    K[1, 0, 0], K[2, 0, 1] = np.inf, np.nan
    np.testing.assert_array_equal(on(xp, norm_bound)(xp, K), [0, np.inf, np.inf])
