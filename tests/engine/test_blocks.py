"""Sums over blocks of samples: any number of blocks and threads, and exhausted memory."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from skode.engine.arrays import out_of_memory_errors, to_host
from skode.engine.blocks import Blocks
from skode.engine.controls import Layout
from skode.engine.kernels import KERNELS
from skode.engine.losses import LOSSES
from skode.engine.networks import Network, ode_net
from skode.engine.prediction import mean_outputs, outputs, trajectories
from skode.engine.schemes import TABLEAUX
from skode.engine.threads import Threads
from tests.engine.everywhere import not_strict, on, there
from tests.engine.problems import FREE, Placed, folds_of, objective_of, problem
from tests.namespaces import NAMESPACES

# A number of samples without small factors; channels with and without special code in BLAS.
SHAPES = [(2, 7), (3, 203), (8, 64), (16, 257)]
FEW_SHAPES = [(3, 31), (14, 11)]  # implicit stages of 14 channels use another solver


def assert_close(found, expected):
    for one, other in zip(found, expected, strict=True):
        if other is None:
            assert one is None
        else:
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12 * np.abs(other).max())


@settings(max_examples=15)
@given(st.integers(1, 9), st.integers(1, 5))
def test_blocks_of_any_size_and_members_alone_give_the_same_sums(xp, size, members):
    layout, flat, *data, alpha = problem("softmax", "learned", members=members)
    arguments = ode_net(TABLEAUX["heun"]), layout, "softmax"
    options = {"free": FREE["learned"], "folds": folds_of(members)}
    found = Placed(xp, *arguments, (*data, alpha), size=size, **options).evaluate(flat)
    for k in range(members):
        options["folds"] = folds_of(members).of_members(np.array([k]))
        one = Placed(xp, *arguments, (*data, alpha[[k]]), size=7, **options).evaluate(flat[[k]])
        assert_close([part[[k]] for part in found[:3]], one[:3])


@pytest.mark.parametrize("number", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [None, 1, 3, 7])
@pytest.mark.parametrize("scheme", ["heun", "gauss4"])
def test_any_number_of_threads_and_blocks_give_the_same_sums(scheme, size, number, monkeypatch):
    monkeypatch.setattr("skode.engine.blocks.LEAST_WORK", 0)
    layout, flat, *data = problem("softmax", "learned", members=4, spread=0.2)
    arguments = ode_net(TABLEAUX[scheme]), layout, "softmax", data, FREE["learned"]
    options = {"folds": folds_of(members=4)}
    expected = objective_of(*arguments, **options).evaluate(flat)
    with Threads(number) as threads:
        blocks = Blocks(threads, size)
        assert_close(objective_of(*arguments, blocks=blocks, **options).evaluate(flat), expected)


# --- bits


def evaluated(network, layout, flat, data, folds, blocks):
    """Return everything that is computed for some members, as arrays with the members first."""
    objective = objective_of(
        network, layout, "softmax", data, FREE["learned"], folds, blocks=blocks
    )
    found = [*objective.evaluate(flat), *objective.evaluate(flat, gradient=False)]
    X, U = data[0], layout.views(flat)
    found += [objective.costates(flat), outputs(network, U, X, blocks)]
    return [part for part in found if part is not None]


@pytest.fixture(params=["the first", "the reference"])
def kernels(request, monkeypatch):
    """The usable kernels; in one of two runs, only the reference."""
    monkeypatch.setattr("skode.engine.blocks.LEAST_WORK", 0)
    if request.param == "the reference":
        monkeypatch.setattr("skode.engine.kernels.KERNELS", KERNELS[-1:])
    elif len(KERNELS) == 1:
        pytest.skip("there is no other kernel")


def cases(schemes, shapes=SHAPES):
    for scheme in schemes:
        for k, (channels, samples) in enumerate(shapes):
            sizes = {"n_channels": channels, "samples": samples, "lifted": k % 2 == 1}
            yield ode_net(TABLEAUX[scheme], "mixed", "tanh"), sizes


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("schemes", "shapes"),
    [(["euler", "rk4"], SHAPES), (["implicit_midpoint", "gauss4"], FEW_SHAPES)],
)
def test_any_number_of_threads_gives_the_same_bits(schemes, shapes, dtype, kernels):
    for network, sizes in cases(schemes, shapes):
        layout, flat, *data = problem(
            "softmax", "learned", members=3, dtype=dtype, spread=0.2, **sizes
        )
        folds = folds_of(3, sizes["samples"])
        found = []
        for number in (1, 2, 3, 5):
            with Threads(number) as threads:
                blocks = Blocks(threads, size=max(3, sizes["samples"] // 5))
                found.append(evaluated(network, layout, flat, data, folds, blocks))
                mean = mean_outputs(network, LOSSES["softmax"], layout.views(flat), data[0], blocks)
                found[-1].append(mean)
        for other in found[1:]:
            for part, expected in zip(other, found[0], strict=True):
                np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_member_has_the_same_bits_alone_and_in_a_batch(dtype, kernels):
    for network, sizes in cases(["euler", "rk4"]):
        layout, flat, *data, alpha = problem("softmax", "learned", members=4, dtype=dtype, **sizes)
        folds = folds_of(4, sizes["samples"])

        def of(
            members, flat=flat, data=data, alpha=alpha, folds=folds, layout=layout, network=network
        ):
            part = (*data, alpha[members])
            return evaluated(network, layout, flat[members], part, folds.of_members(members), None)

        every = of(np.arange(4))
        for members in ([0], [2], [3], [1, 3], [2, 1, 0]):
            for part, whole in zip(of(np.array(members)), every, strict=True):
                np.testing.assert_array_equal(part, whole[members])


def flags_of_processor():
    try:
        with open("/proc/cpuinfo") as file:
            return set(re.search(r"^flags\s*:(.*)$", file.read(), re.M).group(1).split())
    except (OSError, AttributeError):
        return set()


OTHER_BLAS = "OPENBLAS_CORETYPE"


@pytest.mark.skipif(OTHER_BLAS in os.environ, reason="this is such a process")
@pytest.mark.parametrize(("core", "flag"), [("Haswell", "avx2"), ("SkylakeX", "avx512f")])
def test_bits_with_the_kernels_of_another_blas(core, flag):
    # OpenBLAS chooses its kernels when it is loaded.
    if flag not in flags_of_processor():
        pytest.skip(f"this processor has no {flag}")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, OTHER_BLAS: core, "OPENBLAS_NUM_THREADS": "1"}
    for name in [name for name in environment if name.startswith(("PYTEST_", "COV_"))]:
        del environment[name]
    arguments = [*command, "-k", "same_bits or which_kernels", __file__]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(OTHER_BLAS not in os.environ, reason="the processor chooses here")
def test_which_kernels_blas_has():
    found = {library.get("architecture") for library in threadpool_info()}
    if not any(library["internal_api"] == "openblas" for library in threadpool_info()):
        pytest.skip("NumPy has another BLAS")
    assert os.environ[OTHER_BLAS] in found


# --- memory

MESSAGE = r"Memory ran out with (\d+) samples in a block; continuing with (\d+)\."
OF_HOST, OF_CUDA = "MemoryError", "torch.cuda.OutOfMemoryError"


def sizes_of(seen):
    """Return the numbers in the warnings: (old block size, new block size) each."""
    found = [re.fullmatch(MESSAGE, str(warning.message)) for warning in seen]
    return [tuple(map(int, match.groups())) for match in found if match]


@pytest.fixture
def enough_for(monkeypatch):
    """Simulate exhausted memory for blocks with more than some number of samples."""
    plain = Network.forward
    monkeypatch.setattr("skode.engine.kernels.KERNELS", KERNELS[-1:])

    def limit(most, error=OF_HOST):
        def forward(self, U, x, *arguments, **options):
            if x.shape[1] > most:
                cuda = getattr(sys.modules.get("torch"), "cuda", None)
                raise MemoryError if error == OF_HOST else cuda.OutOfMemoryError
            return plain(self, U, x, *arguments, **options)

        monkeypatch.setattr(Network, "forward", forward)

    return limit


@pytest.mark.parametrize(
    ("xp", "error"),
    [*((name, OF_HOST) for name in NAMESPACES), ("torch", OF_CUDA)],
    indirect=["xp"],
)
def test_where_memory_runs_out_blocks_are_halved(xp, error, enough_for):
    layout, flat, *data = problem("softmax", "learned", members=3, samples=20)
    network = ode_net(TABLEAUX["heun"])
    arguments = xp, network, layout, "softmax", data, FREE["learned"]
    options = {"folds": folds_of(members=3, samples=20)}
    U, X = layout.views(flat), data[0]

    def mean(network, U, X, blocks=None):
        return mean_outputs(network, LOSSES["softmax"], U, X, blocks)

    small = Placed(*arguments, size=5, **options)
    functions = (outputs, trajectories, mean)
    predicted = [on(xp, function)(network, U, X, Blocks(size=5)) for function in functions]
    expected = [*small.evaluate(flat)]
    p = small.costates(flat)
    enough_for(5, error)
    objective = Placed(*arguments, **options)
    with pytest.warns(RuntimeWarning, match=MESSAGE) as seen:
        found = objective.evaluate(flat)
    assert sizes_of(seen) == [(20, 10), (10, 5)]
    assert_close(found, expected)
    again = objective.evaluate(flat)  # the size is known now
    for one, other in zip(again, found, strict=True):
        np.testing.assert_array_equal(one, other)
    for function, whole in zip(functions, predicted, strict=True):
        with pytest.warns(RuntimeWarning, match=MESSAGE) as seen:
            assert_close([on(xp, function)(network, U, X)], [whole])
        assert sizes_of(seen) == [(20, 10), (10, 5)]
    with pytest.warns(RuntimeWarning, match=MESSAGE):
        assert_close([Placed(*arguments, **options).costates(flat)], [p])


@not_strict
def test_many_samples_are_halved_until_they_fit(xp, enough_for):
    # The free memory of a device may not be contiguous.
    layout, n_samples = Layout(1, 2, 1), 100_000
    rng = np.random.default_rng(0)
    flat, X = rng.normal(size=(1, layout.size)), rng.normal(size=(n_samples, 2))
    targets, weights = (X[:, :1] > 0).astype(float), np.full(n_samples, 1 / n_samples)
    data = (X, targets, weights, np.zeros(1))
    arguments = xp, ode_net(TABLEAUX["euler"]), layout, "logistic", data
    expected = Placed(*arguments, size=5000).value_and_gradient(flat)
    enough_for(30_000)
    objective = Placed(*arguments, size=n_samples)
    with pytest.warns(RuntimeWarning, match=MESSAGE) as seen:
        found = objective.value_and_gradient(flat)
    assert sizes_of(seen) == [(100_000, 50_000), (50_000, 25_000)]
    assert_close(found, expected)


def test_batches_share_a_reduced_block_size(xp, enough_for):
    layout, flat, *data = there(xp, problem("softmax", "learned", samples=20))
    objective = objective_of(ode_net(TABLEAUX["heun"]), layout, "softmax", data)
    enough_for(5)
    with pytest.warns(RuntimeWarning, match=MESSAGE):
        objective.sample(xp.asarray(np.arange(12))).evaluate(flat)
    objective.sample(xp.asarray(np.arange(4, 18))).evaluate(flat)
    assert np.isfinite(to_host(objective.evaluate(flat).J)).all()


def test_where_memory_runs_out_in_a_thread_blocks_are_halved_too(monkeypatch, enough_for):
    monkeypatch.setattr("skode.engine.blocks.LEAST_WORK", 0)
    layout, flat, *data = problem("softmax", "learned", samples=20)
    arguments = ode_net(TABLEAUX["heun"]), layout, "softmax", data
    expected = objective_of(*arguments).value_and_gradient(flat)
    enough_for(3)
    with Threads(2) as threads:
        objective = objective_of(*arguments, blocks=Blocks(threads, size=8))
        with pytest.warns(RuntimeWarning, match=MESSAGE) as seen:
            found = objective.value_and_gradient(flat)
    assert sizes_of(seen) == [(8, 4), (4, 2)]
    assert_close(found, expected)


def test_where_there_is_no_memory_for_one_sample_the_error_is_raised(xp, enough_for):
    layout, flat, *data = problem("softmax", "learned")
    network = ode_net(TABLEAUX["heun"])
    objective = Placed(xp, network, layout, "softmax", data)
    enough_for(0)
    for function in (
        lambda: objective.evaluate(flat),
        lambda: on(xp, outputs)(network, layout.views(flat), data[0]),
    ):
        with pytest.warns(RuntimeWarning, match=MESSAGE), pytest.raises(out_of_memory_errors()):
            function()
