"""Training on blocks that are read one after the other: `fit_blocks`."""

import copy
import gc
import logging
import pickle
import weakref
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone

from skode import FeedForwardClassifier, ODENetClassifier, ODENetRegressor, _targets
from tests.estimators import BOTH, REGRESSORS, blobs, curve, short

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
ALL = [*BOTH, *REGRESSORS]
NAMES = np.array(["ant", "bee", "cat"])


def stream(cls, **parameters):
    return short(cls, solver="adam", batch_size=20, **parameters)


def parts(cls, n_blocks=4, n_samples=200, weights=False):
    """Return blocks of different sizes."""
    X, y = blobs(3, n_samples) if cls in BOTH else curve(n_samples, n_targets=2)
    y = NAMES[y] if cls in BOTH else y
    arrays = (X, y, np.random.default_rng(0).uniform(0.5, 2, n_samples))[: 3 if weights else 2]
    cuts = np.linspace(0, n_samples, n_blocks + 1).astype(int)
    cuts[1:-1] += 7
    return [tuple(a[i:j] for a in arrays) for i, j in pairwise(cuts)]


def known(cls):
    return {"classes": NAMES} if cls in BOTH else {}


def assert_same_fit(one, other):
    one, other = vars(one), vars(other)
    assert one.keys() == other.keys()
    for name in one.keys() - {"feature_map_"}:
        np.testing.assert_equal(one[name], other[name])


# --- what is computed


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("cls", ALL)
def test_an_epoch_is_partial_fit_block_by_block_to_the_last_bit(cls, weights):
    blocks = parts(cls, weights=weights)
    expected = stream(cls, n_restarts=2)
    for X, y, *weight in blocks:
        expected.partial_fit(X, y, **known(cls), sample_weight=weight[0] if weight else None)
    found = stream(cls, n_restarts=2)
    assert found.fit_blocks(iter(blocks), **known(cls)) is found
    assert_same_fit(found, expected)
    assert found.n_iter_ == 4
    assert found.loss_curve_.shape == (5, 2)


@pytest.mark.parametrize("cls", BOTH)
def test_classes_are_collected_from_blocks_that_can_be_read_again(cls):
    X, y = blobs(3, 200)
    order = np.argsort(y, kind="stable")  # no block has all classes
    blocks = [(X[rows], NAMES[y[rows]]) for rows in np.array_split(order, 4)]
    expected = stream(cls).fit_blocks(iter(blocks), classes=NAMES)
    assert_same_fit(stream(cls).fit_blocks(blocks), expected)
    assert_same_fit(stream(cls).fit_blocks(lambda: iter(blocks)), expected)
    assert_same_fit(stream(cls).fit_blocks(blocks, classes=NAMES[::-1]), expected)


@pytest.mark.parametrize("labels", [np.array([3, 1]), np.array([False, True]), [2.0, -1.0]])
def test_classes_of_any_type(labels):
    X, y = blobs(2, 90)
    y = np.asarray(labels)[y]
    model = stream(ODENetClassifier).fit_blocks([(X[:50], y[:50]), (X[50:], y[50:])])
    np.testing.assert_array_equal(model.classes_, np.unique(y))
    assert model.classes_.dtype == y.dtype


@pytest.mark.parametrize("cls", ALL)
def test_several_epochs(cls):
    blocks = parts(cls)
    expected = stream(cls, warm_start=True).fit_blocks(blocks)
    for _ in range(2):
        expected.fit_blocks(iter(blocks))
    found = stream(cls).fit_blocks(blocks, n_epochs=3).set_params(warm_start=True)
    assert_same_fit(found, expected)
    assert found.n_iter_ == 12
    assert found.loss_curve_[-1, 0] < found.loss_curve_[4, 0]


class Ranges:
    """An object that can be iterated again and again, with new objects every time."""

    def __init__(self, blocks=None):
        self.blocks, self.n_passes, self.classes = blocks or parts(ODENetClassifier), 0, NAMES

    def __iter__(self):
        self.n_passes += 1
        yield from map(list, self.blocks)


class Items:
    """An object with items, as data sets of other libraries are."""

    def __getitem__(self, k):
        return parts(ODENetClassifier)[k]


@pytest.mark.parametrize(
    "blocks", [Ranges(), Ranges, lambda: Ranges().__iter__(), Ranges().__iter__, Items()]
)
def test_what_can_be_read_again(blocks):
    expected = stream(ODENetClassifier).fit_blocks(parts(ODENetClassifier), n_epochs=2)
    assert_same_fit(stream(ODENetClassifier).fit_blocks(blocks, n_epochs=2), expected)


@pytest.mark.parametrize("cls", ALL)
def test_blocks_are_read_no_more_often_than_necessary(cls):
    source = Ranges(parts(cls))
    model = stream(cls, warm_start=True).fit_blocks(source, n_epochs=2)
    assert source.n_passes == 3
    model.fit_blocks(source)
    assert source.n_passes == 4
    if cls in BOTH:
        model.set_params(warm_start=False).fit_blocks(source, classes=NAMES)
        assert source.n_passes == 5


@pytest.mark.parametrize("cls", ALL)
def test_training_starts_afresh_by_default(cls):
    blocks = parts(cls)
    fresh = stream(cls).fit_blocks(blocks)
    again = copy.deepcopy(fresh)
    assert_same_fit(again.fit_blocks(blocks), fresh)
    X, y = blobs(2, n_features=2) if cls in BOTH else curve(n_features=2)
    again = stream(cls, cv=3, scoring="accuracy" if cls in BOTH else "r2").fit(X, y)
    assert_same_fit(again.set_params(cv=None, scoring="auto").fit_blocks(blocks), fresh)


@pytest.mark.parametrize("cls", ALL)
def test_a_warm_start_goes_on_from_fit(cls):
    blocks = parts(cls)
    model = stream(cls, cv=3, warm_start=True).fit(*blocks[0])
    expected = copy.deepcopy(model)
    for block in blocks:
        expected.partial_fit(*block)
    assert_same_fit(model.fit_blocks(blocks), expected)


def test_several_labels():
    X, y = blobs(3, 90)
    y = np.stack([y == 0, y > 0], axis=1).astype(int)
    blocks = [(X[:50], y[:50]), (X[50:], y[50:])]
    expected = stream(ODENetClassifier).partial_fit(*blocks[0]).partial_fit(*blocks[1])
    n_read = []

    def reading():
        for block in blocks:
            n_read.append(block)
            yield block

    assert_same_fit(stream(ODENetClassifier).fit_blocks(reading), expected)
    assert len(n_read) == 3  # the first block says that there are no classes to collect
    assert_same_fit(stream(ODENetClassifier).fit_blocks(iter(blocks)), expected)


@pytest.mark.parametrize("cls", ALL)
def test_sparse_blocks_and_frames(cls):
    blocks = parts(cls)
    expected = stream(cls, lift="linear").fit_blocks(blocks)
    as_sparse = [(sparse.csr_matrix(X), y) for X, y in blocks]
    found = stream(cls, lift="linear").fit_blocks(as_sparse)
    np.testing.assert_allclose(found.K_, expected.K_, atol=1e-9)
    frames = [
        (
            pd.DataFrame(X, columns=list("abc")),
            pd.Series(y) if y.ndim == 1 else pd.DataFrame(y),
            pd.Series(np.ones(len(y))),
        )
        for X, y in blocks
    ]
    found = stream(cls, lift="linear").fit_blocks(lambda: iter(frames))
    np.testing.assert_allclose(found.K_, expected.K_, atol=1e-12)
    assert list(found.feature_names_in_) == ["a", "b", "c"]
    frames[2] = frames[2][0][["b", "a", "c"]], *frames[2][1:]
    with pytest.raises(ValueError, match="feature names should match") as caught:
        found.fit_blocks(frames)
    assert caught.value.__notes__ == ["This happened at block 2 of blocks, counted from 0."]


def test_a_fitted_model_is_complete(tmp_path):
    blocks = parts(ODENetClassifier)
    model = stream(ODENetClassifier).fit_blocks(blocks)
    other = pickle.loads(pickle.dumps(model)).set_params(warm_start=True)
    model.partial_fit(*blocks[0])
    assert_same_fit(other.fit_blocks(blocks[:1]).set_params(warm_start=False), model)


# --- the scale of the targets


def ordered(n_targets=None, n_samples=300):
    """Return blocks in the order of y, so that none of them has the scale of all."""
    X, y = curve(n_samples, n_targets=n_targets)
    order = np.argsort(y if n_targets is None else y[:, 0])
    X, y = X[order], 100 + 30 * y[order]
    weights = np.random.default_rng(0).integers(0, 3, n_samples)
    weights[:60] *= 5
    return (
        X,
        y,
        weights,
        [(X[k : k + 60], y[k : k + 60], weights[k : k + 60]) for k in range(0, n_samples, 60)],
    )


LOSSES = ["squared_error", "absolute_error", "huber", "quantile", "poisson"]


@pytest.mark.parametrize("n_targets", [None, 2])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("cls", REGRESSORS)
def test_targets_are_standardised_as_in_fit(cls, loss, n_targets):
    X, y, weights, blocks = ordered(n_targets)
    whole = short(cls, loss=loss, max_iter=1, solver="adam").fit(X, y, weights)
    found = stream(cls, loss=loss).fit_blocks(blocks)
    np.testing.assert_allclose(found._centre, whole._centre, rtol=1e-12)
    np.testing.assert_allclose(found._scale, whole._scale, rtol=1e-12)
    assert found.predict(X).shape == y.shape
    first = stream(cls, loss=loss).partial_fit(*blocks[0])
    once = stream(cls, loss=loss).fit_blocks(iter(blocks))
    np.testing.assert_array_equal(once._centre, first._centre)
    assert (first._scale != found._scale).all()


def test_weights_are_numbers_or_missing():
    X, y, _, _ = ordered()
    weights = np.repeat([1.0, 3.0], 150)
    whole = short(ODENetRegressor, max_iter=1, solver="adam").fit(X, y, weights)
    blocks = [(X[:150], y[:150], None), (X[150:], y[150:], 3)]
    found = stream(ODENetRegressor).fit_blocks(blocks)
    np.testing.assert_allclose(found._centre, whole._centre, rtol=1e-12)
    np.testing.assert_allclose(found._scale, whole._scale, rtol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_targets_that_are_all_equal(loss):
    X = curve(90)[0]
    y = np.full(90, 0.1)
    found = stream(ODENetRegressor, loss=loss).fit_blocks(
        [(X[k : k + 7], y[:7]) for k in (0, 7, 14)]
    )
    assert found._centre == (0 if loss == "poisson" else 0.1)
    assert found._scale == pytest.approx(0.1 if loss == "poisson" else 1)


def test_quartiles_are_those_of_a_sample_if_there_are_many(monkeypatch):
    monkeypatch.setattr(_targets, "SAMPLE", 2000)
    rng = np.random.default_rng(0)
    y = np.sort(rng.normal(5, 2, 20_000))
    weights = np.where(y > 5, 0.0, 1.0)
    parts = zip(np.split(y, 20), np.split(weights, 20), strict=True)
    blocks = [(np.zeros((1000, 1)), *part) for part in parts if part[1].any()]
    model = stream(ODENetRegressor, loss="huber").fit_blocks(blocks)
    low, median, high = np.quantile(y[weights > 0], [0.25, 0.5, 0.75])
    assert model._centre == pytest.approx(median, abs=0.1)
    assert model._scale == pytest.approx((high - low) / 1.349, rel=0.1)
    again = stream(ODENetRegressor, loss="huber", random_state=1).fit_blocks(blocks)
    assert (again._centre, again._scale) == (model._centre, model._scale)


# --- memory, progress, interruption


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("verbose", [0, 1])
def test_only_one_block_is_in_memory(cls, verbose):
    arrays, alive = [], []

    def blocks():
        for k in range(6):
            alive.append(sum(array() is not None for array in arrays))
            pair = blobs(3, 60, seed=k) if cls in BOTH else curve(60, seed=k)
            arrays.extend(map(weakref.ref, pair))
            yield pair
            del pair

    gc.disable()  # so that cycles would keep them alive
    try:
        stream(cls, verbose=verbose).fit_blocks(blocks, n_epochs=2)
    finally:
        gc.enable()
    assert alive == 18 * [0]  # before each block exists, no other one does


def test_progress(caplog):
    blocks = parts(ODENetClassifier)
    with caplog.at_level(logging.INFO, "skode"):
        stream(ODENetClassifier, verbose=1).fit_blocks(blocks, n_epochs=2)
    assert len(caplog.messages) == 2
    start = "ODENetClassifier epoch 2/2, 8 block(s) so far: objective "
    assert caplog.messages[-1].startswith(start)
    caplog.clear()
    with caplog.at_level(logging.INFO, "skode"):
        stream(ODENetClassifier, verbose=2).fit_blocks(blocks, n_epochs=2)
    assert len(caplog.messages) == 8
    assert caplog.messages[-1].startswith(start)


def interrupted(blocks, number):
    for k, block in enumerate(blocks):
        if k == number:
            raise KeyboardInterrupt
        yield block


@pytest.mark.parametrize("cls", ALL)
def test_ctrl_c_keeps_the_state_after_the_last_block(cls):
    blocks = parts(cls)
    model, expected = stream(cls), stream(cls)
    with pytest.raises(KeyboardInterrupt, match=r"is fitted: .* 2 block\(s\)"):
        model.fit_blocks(interrupted(blocks, 2), **known(cls))
    expected.fit_blocks(iter(blocks[:2]), **known(cls))
    assert model.stop_reason_ == ["interrupted"]
    expected.stop_reason_ = model.stop_reason_
    assert_same_fit(model, expected)


def test_ctrl_c_during_a_block(monkeypatch):
    blocks, calls = parts(ODENetClassifier), []
    schedule = ODENetClassifier._stream_schedule

    def interrupting(self, *args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return schedule(self, *args)

    expected = stream(ODENetClassifier).fit_blocks(blocks[:2])
    monkeypatch.setattr(ODENetClassifier, "_stream_schedule", interrupting)
    model = stream(ODENetClassifier)
    with pytest.raises(KeyboardInterrupt, match=r"2 block\(s\)"):
        model.fit_blocks(blocks)
    np.testing.assert_array_equal(model.K_, expected.K_)
    assert model.n_iter_ == 2


@pytest.mark.parametrize("cls", ALL)
def test_ctrl_c_before_the_first_block_changes_nothing(cls):
    blocks = parts(cls)
    refuses(stream(cls), KeyboardInterrupt, "^$", lambda: interrupted(blocks, 2))  # looking ahead
    refuses(stream(cls), KeyboardInterrupt, "^$", interrupted(blocks, 0), **known(cls))
    fitted = stream(cls, warm_start=True).fit_blocks(blocks)
    refuses(fitted, KeyboardInterrupt, "^$", interrupted(blocks, 0))


# --- what is refused


def refuses(model, error, message, *args, note=None, **more):
    before = vars(model).copy()
    with pytest.raises(error, match=message) as caught:
        model.fit_blocks(*args, **more)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is before[name] for name in before)
    notes = [] if note is None else [f"This happened at block {note} of blocks, counted from 0."]
    assert getattr(caught.value, "__notes__", []) == notes


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("cls", ALL)
def test_bad_blocks(cls, fitted):
    blocks = parts(cls)
    model = stream(cls).fit_blocks(blocks) if fitted else stream(cls)
    X, y = blocks[2]

    def with_block(*block):
        return [*blocks[:2], block, *blocks[3:]]

    for make in (list, iter):  # found in the first pass, or when they are trained on

        def refused(error, message, note, *block, make=make):
            refuses(model, error, message, make(with_block(*block)), note=note, **known(cls))

        refused(ValueError, "X has 2 features, but .* is expecting 3", 2, X[:, :2], y)
        refused(ValueError, "X has no rows. Leave such blocks out", 2, X[:0], y[:0])
        refused(ValueError, "inconsistent numbers of samples", 2, X, y[:-1])
        refused(ValueError, "NaN", 2, np.full_like(X, np.nan), y)
        refused(ValueError, "y is None", 2, X, None)
        refused(ValueError, "must not be negative", 2, X, y, -np.ones(len(X)))
        refused(ValueError, "sample_weight is zero for all", 2, X, y, np.zeros(len(X)))
        refused(
            TypeError,
            r"must be a pair \(X, y\) or .*, but this one is of type tuple and length 1",
            2,
            X,
        )
        refused(TypeError, "of type tuple and length 4", 2, X, y, None, None)
        refused(TypeError, "Expected sequence or array-like", 2, 3, y)


@pytest.mark.parametrize("cls", ALL)
def test_bad_sources(cls):
    X, y = parts(cls)[0]
    for blocks, message in (
        ((X, y), r"but this one is of type ndarray. Put a single block in a list: \[\(X, y\)\]"),
        ("Xy", "but this one is of type str"),
        (X, "but this one is of type ndarray"),
        (pd.DataFrame(X), "but this one is of type int"),
        (lambda: [X], "but this one is of type ndarray"),
    ):
        refuses(stream(cls), TypeError, message, blocks, note=0)
    message = "blocks must be an iterable, each of whose items is .* Got an object of type "
    refuses(stream(cls), TypeError, message + "int", 3)
    refuses(stream(cls), TypeError, message + "NoneType", None)
    message = "blocks was called and must have returned an iterator, but returned .* NoneType"
    refuses(stream(cls), TypeError, message, lambda: None)
    for empty in ([], (), dict, iter([])):
        refuses(stream(cls), ValueError, r"blocks holds nothing. Each of its items", empty)

    class Once:
        """An object that pretends that it can be read again."""

        def __init__(self):
            self._iterator = iter(parts(cls))

        def __iter__(self):
            return self._iterator

    message = r"blocks held nothing when they were read again: .* only once. Give a list, or a fun"
    refuses(stream(cls), ValueError, message, Once())
    refuses(stream(cls), ValueError, message, Once().__iter__)
    same = iter(parts(cls))
    refuses(stream(cls), ValueError, message, lambda: same)
    message = r"is an iterator, which can be read only once, but n_epochs=2. Give a list"
    refuses(stream(cls), ValueError, message, iter(parts(cls)), n_epochs=2, **known(cls))
    with pytest.raises(TypeError, match=rf"^{cls.__name__}\.fit_blocks\(\): too many positional"):
        stream(cls).fit_blocks(X, y)


@pytest.mark.parametrize("n_epochs", [0, -1, 1.0, True, None, "2"])
def test_numbers_of_epochs(n_epochs):
    message = "n_epochs must be a positive integer. Got "
    blocks = parts(ODENetClassifier)
    refuses(stream(ODENetClassifier), ValueError, message, blocks, n_epochs=n_epochs)
    assert stream(ODENetClassifier).fit_blocks(blocks, n_epochs=np.int64(2)).n_iter_ == 8


@pytest.mark.parametrize("cls", ALL)
def test_errors_while_reading_are_not_about_a_block(cls):
    def failing():
        yield parts(cls)[0]
        raise OSError("the disk is gone")

    refuses(stream(cls), OSError, "the disk is gone", failing)
    refuses(stream(cls), OSError, "the disk is gone", failing(), **known(cls))


@pytest.mark.parametrize("cls", ALL)
def test_other_parameters(cls):
    blocks = parts(cls)
    for solver in ("auto", "lbfgs"):
        with pytest.raises(AttributeError, match=rf"{cls.__name__}.fit_blocks is only .*'adam'"):
            _ = short(cls, solver=solver).fit_blocks

    def never():
        raise AssertionError("The file must not be read.")

    refuses(stream(cls, N=0), ValueError, "'N' parameter", never)
    model = stream(cls, warm_start=True).fit_blocks(blocks).set_params(n_channels=5)
    refuses(model, ValueError, "Training goes on from .* n_channels=4", blocks, note=0)
    assert clone(model).fit_blocks(blocks).n_channels_ == 5


def test_bad_classes():
    blocks = parts(FeedForwardClassifier)
    model = stream(FeedForwardClassifier)
    message = r"classes must be given: .* blocks is an iterator, .* Give a list, or a function"
    refuses(model, ValueError, message, iter(blocks), note=0)
    message = r"labels that are not among the classes \['ant' 'bee'\]: 'cat'"
    refuses(model, ValueError, message, blocks, classes=NAMES[:2], note=0)
    X, y = blocks[3]
    for labels, message in (
        (np.arange(len(y)) // 4, "Mix of label input types"),
        (np.linspace(0, 1, len(y)), "Unknown label type"),
        (np.eye(len(y), dtype=int), "y should be a 1d array"),
    ):
        refuses(model, ValueError, message, [*blocks[:3], (X, labels)], note=3)
    fitted = stream(FeedForwardClassifier, warm_start=True).fit_blocks(blocks)
    message = r"classes=\['ant' 'bee'\] are not those"
    refuses(fitted, ValueError, message, blocks, classes=NAMES[:2], note=0)

    def never():
        raise AssertionError("The file must not be read.")

    model = stream(FeedForwardClassifier, class_weight="balanced")
    refuses(model, ValueError, "which fit_blocks does not see. Give a dict", never)


@pytest.mark.parametrize("cls", REGRESSORS)
def test_bad_targets(cls):
    X, y = curve(40)
    for target, error, message in (
        (np.full(40, np.nan), ValueError, "y contains NaN"),
        (np.full(40, "a"), ValueError, "could not convert string"),
        (np.full(40, np.datetime64("2020-01-01")), TypeError, "not dates"),
        (np.c_[y, y], ValueError, r"y has the shape \(40, 2\), but \(40,\) is expected"),
    ):
        for loss in ("squared_error", "huber"):
            refuses(stream(cls, loss=loss), error, message, [(X, y), (X, target)], note=1)
    model = stream(cls, loss="poisson")
    message = "the least entry of y is -1"
    refuses(model, ValueError, message, [(X, np.abs(y)), (X, 0 * y - 1)], note=1)
    refuses(model, ValueError, "positive means, but y", [(X, 0 * y)])
    model.fit_blocks([(X, 0 * y), (X, np.abs(y))])  # which partial_fit would refuse
