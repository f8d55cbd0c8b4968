"""Special properties of the CPU kernel; `test_kernels` compares it with the reference."""

import os
import subprocess
import sys
import textwrap
from itertools import cycle, product

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skode.engine.activations import ACTIVATIONS
from skode.engine.arrays import quiet
from skode.engine.kernels import KERNELS, Problem, Samples, cpu, kernel_for, reference
from skode.engine.losses import LOSSES, loss_named
from skode.engine.networks import feed_forward, ode_net
from skode.engine.schemes import TABLEAUX, as_tableau
from tests.engine.problems import folds_of, problem
from tests.namespaces import NAMESPACES
from tests.reference import QUANTILE, explicit_schemes

pytest.importorskip("numba")

EULER, HEUN = ode_net(TABLEAUX["euler"]), ode_net(TABLEAUX["heun"])
TOLERANCES = {np.float64: 1e-12, np.float32: 1e-5}


def case(network=HEUN, loss="softmax", dtype=np.float64, folds=False, **sizes):
    """A problem, samples and controls."""
    sizes = {"members": 2, "samples": 30, "n_channels": 4, "n_features": 3, **sizes}
    layout, flat, X, targets, weights, _ = problem(loss, "learned", spread=0.5, **sizes)
    samples = [part.astype(dtype) for part in (X, targets, weights)]
    of_folds = folds_of(sizes["members"], sizes["samples"]) if folds else None
    return (
        Problem(network, layout, loss_named(loss, QUANTILE), True),
        Samples(*samples, of_folds),
        flat.astype(dtype),
    )


def assert_as_the_reference(of, samples, flat):
    """Check that sums and predictions are equal up to rounding, relative to the largest entry."""
    tolerance = TOLERANCES[flat.dtype.type]
    with quiet():
        expected = [
            *reference.evaluate(of, samples, flat, True),
            reference.predict(of, samples.X, flat),
        ]
    found = [*cpu.evaluate(of, samples, flat, True), cpu.predict(of, samples.X, flat)]
    del found[3], expected[3]  # the reference has no tolerance
    for one, other in zip(found, expected, strict=True):
        if other is None:
            assert one is None
        else:
            assert one.shape == other.shape
            assert np.abs(one - other).max() <= tolerance * np.abs(other).max()


# --- shapes

BLOCK = cpu.FOR_BLAS  # the block size for many channels


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("samples", [1, 2, 7, 8, 9, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
def test_blocks_of_any_number_of_samples(samples, dtype):
    of, *rest = case(dtype=dtype, samples=samples, n_channels=40, N=2)
    assert cpu._block_size(of, np.dtype(dtype)) == BLOCK
    assert_as_the_reference(of, *rest)


def test_many_states_of_many_layers_make_small_blocks():
    of, *_ = case(n_channels=64, N=40)
    assert cpu._block_size(of, np.dtype(np.float64)) == cpu.BLOCK_SIZES[0]


@pytest.mark.parametrize("panel", [cpu.UNPACKED, 40 * 8, sys.maxsize])
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_outer_products_in_panels(dtype, panel, monkeypatch):
    monkeypatch.setattr(cpu, "_panel", lambda: panel)
    # Panels of 20 and of 8 rows, or the whole; those of V have as many columns as features.
    for n_features in (1, 7, 90, 200):
        sizes = {"n_channels": 40, "n_features": n_features, "lifted": True, "N": 2}
        assert_as_the_reference(*case(dtype=dtype, outputs=3, **sizes))


@pytest.mark.parametrize(
    "sizes",
    [
        {"n_channels": 1, "n_features": 1},
        {"n_channels": 2, "n_features": 1},
        {"n_channels": 3, "outputs": 9},
        {"n_channels": 2, "n_features": 17, "lifted": True},
        {"n_channels": 20, "n_features": 1, "lifted": True},
        {"n_channels": 9, "n_features": 9, "N": 1},
        {"samples": 2000, "n_channels": 2, "n_features": 2, "N": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("loss", LOSSES)
def test_narrow_and_wide(loss, sizes):
    for network in (ode_net(TABLEAUX["kutta3"], "mixed", lift="mixed"), feed_forward("softplus")):
        assert_as_the_reference(*case(network, loss, folds=True, **sizes))


@given(scheme=explicit_schemes(), activation=st.sampled_from(sorted(ACTIVATIONS)))
def test_any_explicit_scheme(scheme, activation):
    # Some weights are zero, and some stages are not used by others.
    assert_as_the_reference(*case(ode_net(as_tableau(scheme), activation), samples=9))


def test_stages_that_nothing_depends_on_are_left_out():
    scheme = as_tableau(([[0, 0, 0], [1, 0, 0], [3, -2, 0]], [0.5, 0.5, 0], [0, 1, 1]))
    of, samples, flat = case(ode_net(scheme))
    for part, of_heun in zip(
        cpu.evaluate(of, samples, flat, True),
        cpu.evaluate(of._replace(network=HEUN), samples, flat, True),
        strict=True,
    ):
        np.testing.assert_array_equal(part, of_heun)


# --- layouts of the memory


def strided(x):
    wide = np.zeros((2 * len(x), 3 * x.shape[1]), x.dtype)
    wide[::2, 1::3] = x
    return wide[::2, 1::3]


def misaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)
    found = raw[1:].view(x.dtype).reshape(x.shape)
    found[...] = x
    assert not found.flags.aligned
    return found


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "strided": strided,
    "backwards": lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
    "misaligned": misaligned,
    "swapped bytes": lambda x: x.astype(x.dtype.newbyteorder()),
    "another precision": lambda x: x.astype(
        {"float64": "float32", "float32": "float64"}[x.dtype.name]
    ),
    "small integers": lambda x: x.astype(np.int8),
}


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_the_features(layout, dtype):
    of, samples, flat = case(dtype=dtype, samples=300, folds=True)
    X = np.round(3 * samples.X)  # numbers that all dtypes can represent
    expected = [*cpu.evaluate(of, samples._replace(X=X), flat, True), cpu.predict(of, X, flat)]
    X = LAYOUTS[layout](X)
    X.flags.writeable = False
    found = [*cpu.evaluate(of, samples._replace(X=X), flat, True), cpu.predict(of, X, flat)]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_parts_of_a_memory_map(tmp_path):
    of, samples, flat = case(samples=300)
    np.save(tmp_path / "X.npy", samples.X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    some, from_file = samples.of(slice(3, 200)), samples._replace(X=mapped).of(slice(3, 200))
    for one, other in zip(
        cpu.evaluate(of, from_file, flat, True), cpu.evaluate(of, some, flat, True), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_controls_of_some_members():
    of, samples, flat = case(members=4)
    for one, other in zip(
        cpu.evaluate(of, samples, np.asfortranarray(flat)[::2], True),
        cpu.evaluate(of, samples, flat[::2].copy(), True),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


# --- bits

OTHER_BLAS = """
    import numpy as np
    from threadpoolctl import threadpool_info
    from tests.engine.kernels.test_cpu import assert_alone_as_among_others

    assert_alone_as_among_others()
    print({library.get("architecture") for library in threadpool_info()})
"""


def assert_alone_as_among_others():
    for dtype, scheme in product(TOLERANCES, ("heun", "implicit_midpoint", "gauss4")):
        for n_channels in (2, 5, 16, 33):
            sizes = {"n_channels": n_channels, "members": 5, "samples": 700, "N": 2}
            of, samples, flat = case(ode_net(TABLEAUX[scheme]), dtype=dtype, folds=True, **sizes)
            flat = (flat / n_channels**0.5).astype(dtype)
            every = *cpu.evaluate(of, samples, flat, True), *cpu.evaluate(of, samples, flat, False)
            for members in ([0], [3], [4, 1]):
                some = samples.of_members(np.array(members))
                found = (
                    *cpu.evaluate(of, some, flat[members], True),
                    *cpu.evaluate(of, some, flat[members], False),
                )
                for one, whole in zip(found, every, strict=True):
                    assert one is whole or np.array_equal(one, whole[members])


def test_a_member_has_the_same_bits_alone_and_among_others():
    assert_alone_as_among_others()


def processor_has(flag):
    try:
        with open("/proc/cpuinfo") as file:
            return flag in file.read().split()
    except OSError:
        return False


def in_another_process(source, **environment):
    """Return the output of a program."""
    found = {**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment}
    for name in [name for name in found if name.startswith(("PYTEST_", "COV_"))]:
        del found[name]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        env=found,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("core", "flag"), [("Haswell", "avx2"), ("SkylakeX", "avx512f")])
def test_bits_with_the_kernels_of_another_blas(core, flag):
    # OpenBLAS chooses its kernels when it is loaded.
    if not processor_has(flag):
        pytest.skip(f"this processor has no {flag}")
    assert core in in_another_process(OTHER_BLAS, OPENBLAS_CORETYPE=core)


# --- availability


def test_which_problems_it_serves():
    of, _, flat = case()
    assert KERNELS[0] is cpu
    assert kernel_for(of, flat) is cpu
    assert cpu.is_usable_for(of, flat.astype(np.float32))
    assert not cpu.is_usable_for(of, flat.astype(np.longdouble))
    assert cpu.is_usable_for(of._replace(network=ode_net(TABLEAUX["gauss4"])), flat)
    strict = NAMESPACES["strict"]()
    assert not cpu.is_usable_for(of, strict.asarray(flat))


@pytest.mark.parametrize("error", [RuntimeError("no locator available"), ImportError("no numba")])
def test_without_a_place_for_a_cache_the_reference_serves(error, monkeypatch):
    def refuse(function):
        raise error

    monkeypatch.setattr("skode.engine.kernels.cpu_compile.compilable", refuse)
    cpu._numba_works.cache_clear()
    try:
        of, _, flat = case()
        assert kernel_for(of, flat) is reference
    finally:
        cpu._numba_works.cache_clear()


def test_without_numba_the_reference_serves():
    in_another_process(
        """
        import sys
        sys.modules["numba"] = None
        import numpy as np
        from skode.engine.kernels import kernel_for, reference
        from tests.engine.problems import problem
        from skode.engine.kernels import Problem
        from skode.engine.losses import LOSSES
        from skode.engine.networks import ode_net
        from skode.engine.schemes import TABLEAUX

        layout, flat, *_ = problem("softmax", "learned")
        of = Problem(ode_net(TABLEAUX["euler"]), layout, LOSSES["softmax"], True)
        assert kernel_for(of, flat) is reference
        """
    )


def test_numba_is_imported_only_where_it_computes():
    in_another_process("import skode, sys; assert 'numba' not in sys.modules")


# --- the size of a call


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("n_channels", [1, 8, 64, 300])
def test_how_much_one_call_takes(n_channels, dtype):
    of, _, flat = case(dtype=dtype, n_channels=n_channels, N=20)
    sizes = []
    for n_samples in (1, 100, 10_000, 10**6, 10**8):
        members, samples = cpu.call_size(of, 7, n_samples, flat)
        assert (members, samples) == (7, cpu.call_size(of, 1, n_samples, flat)[1])
        sizes.append((n_samples, samples))
    assert sizes[0][1] >= 1  # all of them
    assert all(n_samples / samples <= 64 for n_samples, samples in sizes)
    assert sizes[-1][0] / sizes[-1][1] > 60


# --- compilation by numba

CACHED = """
    import numpy as np
    from skode.engine.kernels import cpu

    function = cpu._compile("predict", "explicit", np.dtype(np.float32))
    print(sum(function.stats.cache_hits.values()), sum(function.stats.cache_misses.values()))
"""


def test_another_process_takes_what_is_compiled_from_the_cache(tmp_path):
    options, plain = {"NUMBA_CACHE_DIR": str(tmp_path)}, textwrap.dedent(CACHED)
    assert in_another_process(CACHED, **options).split() == ["0", "1"]
    assert in_another_process(CACHED, **options).split() == ["1", "0"]
    # The cache is not used if the source of the loops differs, whichever file has changed.
    changed = (
        f"from skode.engine.kernels import cpu_compile\ncpu_compile._stamp = lambda: 5\n{plain}"
    )
    assert in_another_process(changed, **options).split() == ["0", "1"]
    # If the cache is damaged, each process compiles for itself.
    for file in tmp_path.rglob("*.nbc"):
        file.write_bytes(file.read_bytes()[:1000])
    warned = f"import warnings\nwarnings.simplefilter('error')\n{plain}"
    with pytest.raises(AssertionError, match="NUMBA_CACHE_DIR"):
        in_another_process(warned, **options)
    assert in_another_process(CACHED, **options).split()[0] == "0"


DIGEST = """
    from skode.engine.kernels import cpu
    from tests.engine.kernels import test_cpu

    function = cpu._compile("evaluate", "explicit", test_cpu.np.dtype(float))
    print(test_cpu.digest(), *function.stats.cache_hits)
"""


def digest():
    """Return a hash of the results with every activation and loss."""
    found = []
    for activation, loss in zip(cycle(ACTIVATIONS), LOSSES, strict=False):
        network = ode_net(TABLEAUX["kutta3"], activation, lift=activation)
        sizes = {"samples": 300, "n_channels": 24, "lifted": True}
        found += cpu.evaluate(*case(network, loss, folds=True, **sizes), True)
    return joblib.hash(found)


def test_the_process_that_compiles_computes_the_same_bits(tmp_path):
    # Functions that are not inlined exist twice in that process, optimised in two contexts.
    options = {"NUMBA_CACHE_DIR": str(tmp_path)}
    compiling, *hits = in_another_process(DIGEST, **options).split()
    loading, *later_hits = in_another_process(DIGEST, **options).split()
    assert later_hits
    assert not hits
    assert compiling == loading


def test_nothing_is_compiled_for_other_arrays():
    of, samples, flat = case(dtype=np.float32)
    for X in (samples.X, np.asfortranarray(samples.X), strided(samples.X), samples.X.astype(float)):
        cpu.evaluate(of, samples._replace(X=X), flat, True)
    function = cpu._compile("evaluate", "explicit", np.dtype(np.float32))
    assert len(getattr(function, "signatures", [1])) == 1


PLAIN = """
    import numpy as np
    from tests.engine.kernels import test_cpu, test_implicit
    from skode.engine.kernels import cpu

    assert not hasattr(cpu._compile("evaluate", "explicit", np.dtype(float)), "signatures")
    test_cpu.assert_some_are_as_the_reference()
    test_implicit.assert_some_are_as_the_reference()
"""


def assert_some_are_as_the_reference():
    for dtype in TOLERANCES:
        for activation, loss in zip(cycle(ACTIVATIONS), LOSSES, strict=False):
            network = ode_net(TABLEAUX["kutta3"], activation, lift=activation)
            for lifted in (False, True):
                sizes = {"samples": 6, "N": 2, "n_channels": 3, "lifted": lifted}
                assert_as_the_reference(*case(network, loss, dtype, folds=True, **sizes))


def test_the_source_runs_without_compilation():
    in_another_process(PLAIN, NUMBA_DISABLE_JIT="1")
