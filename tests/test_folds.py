"""The choice of samples for training and validation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    RepeatedStratifiedKFold,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import FeedForwardClassifier, ODENetClassifier, ODENetRegressor
from skode import _folds as folds
from skode._folds import choose_splits, validation_split
from skode._inputs import Data
from skode._splits import Splits
from tests.estimators import blobs, curve, short
from tests.splits import chosen, counts, counts_of, samples

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# --- splitters


class Seen:
    """A splitter that records its arguments."""

    def split(self, X, y, groups=None):
        self.given = X, y, groups
        yield from KFold(3).split(X)

    def get_n_splits(self, X=None, y=None, groups=None):
        return 3


@pytest.mark.parametrize("n_targets", [None, 2])
def test_a_splitter_sees_the_features_and_the_targets(n_targets):
    X, y = curve(60, n_targets=n_targets)
    y, groups, cv = 100 + 7 * y, np.arange(60) % 5, Seen()
    short(ODENetRegressor, cv=cv, max_iter=2).fit(X, y, groups=groups)
    for found, expected in zip(cv.given, (X, y, groups), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_splitter_sees_the_labels():
    X, y = blobs(3)
    names, cv = np.array(["a", "b", "c"])[np.random.default_rng(0).permutation(y)], Seen()
    short(ODENetClassifier, cv=cv, max_iter=2).fit(X, names)
    np.testing.assert_array_equal(cv.given[0], X)
    np.testing.assert_array_equal(cv.given[1], names)
    assert cv.given[2] is None


# --- the tables


sides = st.lists(st.integers(0, 11), max_size=30).map(lambda side: np.array(side, dtype=int))
pairs = st.lists(st.tuples(sides, sides), min_size=1, max_size=6)


@given(pairs)
def test_the_tables_say_how_often_each_sample_occurs(pairs):
    splits = Splits.from_indices(pairs, 12)
    assert len(splits) == len(pairs)
    expected = counts_of(pairs, 12)
    np.testing.assert_array_equal(counts(splits), expected)
    for s, (_, held_out) in enumerate(pairs):
        np.testing.assert_array_equal(splits.rows(s), np.unique(held_out))
    # One group for each combination of roles, not more.
    parts = np.unique(expected.reshape(-1, 12), axis=1).shape[1]
    assert splits.train.shape == splits.held_out.shape == (len(pairs), parts)
    assert splits.group.max() + 1 == parts


@given(pairs, st.randoms(use_true_random=False))
def test_either_side_of_a_split_has_the_weight_one(pairs, random):
    weights = np.array([random.random() for _ in range(12)]) + 0.01
    pairs = [(np.append(train, 3), np.append(held_out, 5)) for train, held_out in pairs]
    splits = Splits.from_indices(pairs, 12)
    folds = splits.fold_weights(weights, np.float64, n_alphas=2, n_restarts=3)
    # Alphas and restarts have the same splits, whose weights are stored once.
    assert folds.train.shape == folds.held_out.shape == splits.train.shape
    train, held_out = folds.weights(weights)
    expected = counts_of(pairs, 12) * weights
    expected /= expected.sum(axis=2, keepdims=True)
    # Members are sorted by alpha, then split, then restart.
    for member in range(2 * len(pairs) * 3):
        s = member // 3 % len(pairs)
        np.testing.assert_allclose(train[member], expected[0, s], rtol=1e-12)
        np.testing.assert_allclose(held_out[member], expected[1, s], rtol=1e-12)


def test_masks_are_as_good_as_indices():
    mask = np.arange(12) < 5
    splits = Splits.from_indices([(mask, ~mask)], 12)
    np.testing.assert_array_equal(counts(splits)[:, 0], [mask, ~mask])


def test_splits_may_be_one_array():
    pairs = np.arange(12).reshape(3, 2, 2)
    splits = chosen(pairs, n_samples=12)
    np.testing.assert_array_equal(counts(splits), counts_of(pairs, 12))


def test_many_folds_make_few_groups():
    splits = Splits.from_indices(KFold(8).split(np.zeros((1000, 1))), 1000)
    assert splits.train.shape == (8, 8)


def test_the_validation_split():
    splits = validation_split(4, 2)
    np.testing.assert_array_equal(counts(splits)[:, 0], [[1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]])


# --- from `cv`


def test_nothing_is_held_out():
    assert chosen(None) is None
    assert chosen(None, codes=np.arange(60) % 2) is None


@pytest.mark.parametrize("n_classes", [None, 2, 3])
@pytest.mark.parametrize("n_folds", [2, 5])
def test_a_number_of_folds_is_what_scikit_learn_makes_of_it(n_folds, n_classes):
    codes = None if n_classes is None else np.random.default_rng(0).integers(0, n_classes, 60)
    splitter = KFold(n_folds) if codes is None else StratifiedKFold(n_folds)
    expected = counts_of(list(splitter.split(np.zeros((60, 1)), codes)), 60)
    np.testing.assert_array_equal(counts(chosen(n_folds, codes)), expected)


@pytest.mark.parametrize(
    "splitter",
    [
        KFold(4, shuffle=True, random_state=1),
        StratifiedKFold(3),
        RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0),
        TimeSeriesSplit(3),
        PredefinedSplit(np.arange(60) % 3 - 1),
    ],
)
def test_splitters_and_iterables(splitter):
    codes = np.random.default_rng(0).integers(0, 2, 60)
    pairs = list(splitter.split(np.zeros((60, 1)), codes))
    expected = counts_of(pairs, 60)
    for cv in (splitter, pairs, iter(pairs)):
        np.testing.assert_array_equal(counts(chosen(cv, codes)), expected)


@pytest.mark.parametrize("splitter", [GroupKFold(3), LeaveOneGroupOut()])
def test_groups_stay_together(splitter):
    groups = np.random.default_rng(0).integers(0, 5, 60)
    splits = chosen(splitter, groups=groups)
    for s in range(len(splits)):
        train, held_out = counts(splits)[:, s] > 0
        assert not set(groups[train]) & set(groups[held_out])
    assert (counts(splits)[1].sum(0) == 1).all()


@pytest.mark.parametrize("n_classes", [None, 2, 5])
def test_the_default_holds_every_sample_out_once(n_classes):
    codes = None if n_classes is None else np.random.default_rng(0).integers(0, n_classes, 100)
    splits = chosen("auto", codes, n_samples=100)
    train, held_out = counts(splits)
    assert len(splits) == folds.FOLDS
    np.testing.assert_array_equal(held_out.sum(0), 1)
    np.testing.assert_array_equal(train, 1 - held_out)
    # Another seed gives other folds; the same seed gives the same folds.
    again, other = (counts(chosen("auto", codes, n_samples=100, seed=seed)) for seed in (0, 1))
    np.testing.assert_array_equal(again[0], train)
    assert (other[0] != train).any()


def test_the_default_is_stratified():
    codes = np.repeat([0, 1, 2], [160, 32, 8])
    held_out = counts(chosen("auto", codes))[1]
    for k, share in ((0, 20), (1, 4), (2, 1)):
        np.testing.assert_array_equal(held_out[:, codes == k].sum(1), share)


@pytest.mark.parametrize("cv", ["auto", 5])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_rare_class_is_spread_over_as_many_folds_as_it_has_samples(cv, size):
    codes = np.repeat([0, 1, 2], [40, size, 40])
    splits = chosen(cv, codes)
    train, held_out = counts(splits)
    assert len(splits) == (folds.FOLDS if cv == "auto" else 5)
    np.testing.assert_array_equal(held_out.sum(0), 1)
    np.testing.assert_array_equal(train, 1 - held_out)
    assert held_out[:, codes == 1].sum(1).max() == 1
    assert not splits.refit


@pytest.mark.parametrize("cv", ["auto", 4])
def test_a_class_of_one_sample_is_always_trained_on(cv):
    codes = np.repeat([0, 1, 2], [30, 1, 30])
    splits = chosen(cv, codes)
    train, held_out = counts(splits)[:, :, codes == 1]
    assert len(splits) == (folds.FOLDS if cv == "auto" else 4)
    assert (train == 1).all()
    assert not held_out.any()
    np.testing.assert_array_equal(counts(splits)[1][:, codes != 1].sum(0), 1)


@pytest.mark.parametrize("n_samples", [3000, 12_000, 50_000, 80_000])
def test_a_rare_class_is_judged_where_few_splits_are_made(n_samples):
    codes = np.zeros(n_samples, dtype=int)
    codes[:2], codes[2:5] = 1, 2
    splits = chosen("auto", codes)
    train, held_out = counts(splits)
    for k in (1, 2):
        assert held_out[:, codes == k].any()
        assert train[:, codes == k].any(axis=1).all()
    assert abs(held_out[0].sum() - n_samples / 8) < 5


def test_no_more_folds_than_the_largest_class_has_samples():
    assert len(chosen("auto", np.repeat([0, 1, 2], [3, 2, 5]))) == 5
    assert len(chosen(3, np.repeat([0, 1], [3, 3]))) == 3
    with pytest.raises(ValueError, match=r"cv=4 .* samples of the largest class, where .*: 3"):
        chosen(4, np.repeat([0, 1], [3, 3]))
    assert len(chosen(60)) == 60
    with pytest.raises(ValueError, match=r"cv=100 .* samples to hold out, where copies .*: 60"):
        chosen(100)
    with pytest.raises(ValueError, match=r"cv=7 cannot be .* groups to hold out: 6"):
        chosen(7, groups=np.arange(60) % 6)


def test_too_few_samples_to_hold_some_out():
    # Only classes of one sample, or one sample for a regressor.
    with pytest.warns(UserWarning, match=r"can hold nothing out.* as with cv=None"):
        assert chosen("auto", np.arange(5)) is None
    with pytest.warns(UserWarning, match="can hold nothing out"):
        assert chosen("auto", n_samples=1) is None
    with pytest.raises(ValueError, match="cv=3 can hold nothing out"):
        chosen(3, np.arange(5))
    assert len(chosen("auto", n_samples=2)) == 2


def test_where_most_classes_cannot_be_held_out_nothing_is():
    codes = np.r_[np.zeros(50, dtype=int), np.arange(1, 5)]
    with pytest.warns(UserWarning, match="more than half of the classes"):
        assert chosen("auto", codes) is None
    assert len(chosen("auto", np.r_[codes, 1, 2])) == folds.FOLDS
    weights = np.where(codes == 1, 100.0, 1.0)
    with pytest.warns(UserWarning, match="more than half of the classes, or of the weight"):
        assert chosen("auto", np.minimum(codes, 1) * (codes < 2), weights=weights) is None
    X, y = blobs(5)
    few = np.concatenate([np.flatnonzero(y == k)[:1] for k in range(5)])
    with pytest.warns(UserWarning, match="can hold nothing out") as caught:
        model = short(ODENetClassifier, cv="auto", alpha="auto").fit(X[few], y[few])
    assert caught[0].filename == __file__
    assert len(model.K_) == 1
    assert not hasattr(model, "oof_score_")


@pytest.mark.parametrize(
    ("n_samples", "n_splits"),
    [
        (folds.SAMPLES // 8, 8),
        (folds.SAMPLES // 8 + 1, 7),
        (folds.SAMPLES // 4, 4),
        (folds.SAMPLES // 2, 3),
        (folds.MOST_SAMPLES // 3, 3),
        (folds.MOST_SAMPLES // 3 + 1, 2),
        (folds.MOST_SAMPLES // 2 + 1, 1),
        (10**6, 1),
    ],
)
def test_fewer_splits_of_many_samples(n_samples, n_splits):
    splits = chosen("auto", n_samples=n_samples)
    assert folds.n_default_splits(n_samples) == len(splits) == n_splits
    # They are some of eight splits: each holds out an eighth.
    sizes = [len(splits.rows(s)) for s in range(n_splits)]
    assert max(sizes) - min(sizes) <= 1
    assert abs(n_samples / 8 - sizes[0]) <= 1
    # A number of folds is used as it is.
    assert len(chosen(3, n_samples=n_samples)) == 3


@pytest.mark.parametrize("codes", [None, np.arange(60) % 3])
def test_early_stopping_holds_one_share_out(codes):
    splits = chosen(None, codes, early_stopping=True, validation_fraction=0.2)
    assert len(splits) == 1
    train, held_out = counts(splits)[:, 0]
    assert held_out.sum() == 12
    np.testing.assert_array_equal(train, 1 - held_out)
    if codes is not None:
        np.testing.assert_array_equal(np.bincount(codes[held_out > 0]), 4)


def test_early_stopping_by_a_tiny_share_of_rare_classes():
    codes = np.repeat([0, 1, 2], [50, 3, 1])
    splits = chosen(None, codes, early_stopping=True, validation_fraction=0.01)
    train, held_out = counts(splits)[:, 0]
    assert held_out.sum() == 2
    assert not held_out[codes == 2].any()
    assert set(codes[train > 0]) == {0, 1, 2}


@given(st.sampled_from(["auto", 3, None]), st.booleans(), st.integers(0, 1000))
def test_samples_without_weight_are_like_absent_ones(cv, classes, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 3, 80) if classes else None
    weights = rng.integers(0, 3, 80).astype(float)
    used = weights > 0
    splits = chosen(cv, codes, weights=weights, n_samples=80, early_stopping=True, seed=seed)
    rest = chosen(
        cv,
        codes[used] if classes else None,
        weights=weights[used],
        early_stopping=True,
        seed=seed,
    )
    np.testing.assert_array_equal(counts(splits)[:, :, used], counts(rest))
    assert not counts(splits)[:, :, ~used].any()


# --- from the estimators


@pytest.mark.parametrize("cls", [ODENetClassifier, ODENetRegressor])
def test_fits_without_weight_and_without_samples_are_the_same(cls):
    X, y = blobs(2) if cls is ODENetClassifier else curve()
    weights = np.ones(60)
    weights[::4] = 0
    used = weights > 0
    options = {"cv": "auto", "max_iter": 5}
    weighted = short(cls, **options).fit(X, y, weights)
    rest = short(cls, **options).fit(X[used], y[used])
    np.testing.assert_allclose(weighted.K_, rest.K_, atol=1e-10)
    np.testing.assert_allclose(weighted.validation_curve_, rest.validation_curve_, rtol=1e-8)
    assert weighted.oof_score_ == pytest.approx(rest.oof_score_, rel=1e-9)
    name = "oof_decision_function_" if cls is ODENetClassifier else "oof_prediction_"
    np.testing.assert_allclose(getattr(weighted, name)[used], getattr(rest, name), atol=1e-9)
    assert np.isnan(getattr(weighted, name)[~used]).all()


def grouped():
    X, y = blobs(2)
    return X, y, np.random.default_rng(1).integers(0, 6, 60)


def by_group(**parameters):
    return short(ODENetClassifier, cv=GroupKFold(3), max_iter=3, **parameters)


def test_groups_reach_the_splitter_of_an_estimator():
    X, y, groups = grouped()
    model = by_group().fit(X, y, groups=groups)
    pairs = list(GroupKFold(3).split(X, y, groups))
    same = short(ODENetClassifier, cv=pairs, max_iter=3).fit(X, y)
    np.testing.assert_array_equal(model.K_, same.K_)
    assert model.K_.shape[0] == 3


def test_groups_reach_the_splitter_through_a_pipeline():
    X, y, groups = grouped()
    X = StandardScaler().fit_transform(X)
    expected = by_group().fit(X, y, groups=groups).K_
    plain = make_pipeline(StandardScaler(), by_group())
    plain.fit(X, y, odenetclassifier__groups=groups)
    np.testing.assert_allclose(plain[-1].K_, expected, atol=1e-12)
    with config_context(enable_metadata_routing=True):
        asking = by_group().set_fit_request(groups=True)
        routed = make_pipeline(StandardScaler(), asking).fit(X, y, groups=groups)
    np.testing.assert_array_equal(routed[-1].K_, plain[-1].K_)


def test_groups_reach_outer_and_inner_splits_by_routing():
    X, y, groups = grouped()
    with config_context(enable_metadata_routing=True):
        found = cross_validate(
            by_group().set_fit_request(groups=True),
            X,
            y,
            cv=LeaveOneGroupOut(),
            params={"groups": groups},
            return_estimator=True,
            return_indices=True,
        )
    for model, rows in zip(found["estimator"], found["indices"]["train"], strict=True):
        alone = by_group().fit(X[rows], y[rows], groups=groups[rows])
        np.testing.assert_array_equal(model.K_, alone.K_)


@pytest.mark.parametrize("cls", [ODENetClassifier, ODENetRegressor])
def test_groups_of_outer_splits_are_no_business_of_fit(cls):
    X, y, _ = grouped()
    sites, patients = np.arange(60) % 2, np.arange(60) % 10
    with config_context(enable_metadata_routing=True):
        for cv, groups in ((LeaveOneGroupOut(), sites), (GroupKFold(5), patients)):
            scores = cross_val_score(
                short(cls, cv="auto", max_iter=3),
                X,
                y,
                cv=cv,
                params={"groups": groups},
                error_score="raise",
            )
            assert np.isfinite(scores).all()


@pytest.mark.parametrize("cv", ["auto", 4, None])
@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_groups_stay_together_without_a_splitter_too(cv, kind):
    rng = np.random.default_rng(0)
    groups = rng.integers(12, size=240)
    codes = rng.integers(2, size=240) if kind == "classes" else None
    estimator = short(ODENetClassifier, cv=cv, early_stopping=True, validation_fraction=0.25)
    splits = choose_splits(estimator, samples(np.ones(240), codes), groups, seed=0)
    assert len(splits) == {"auto": 8, 4: 4, None: 1}[cv]
    for s in range(len(splits)):
        held_out = set(groups[splits.rows(s)])
        trained = set(groups[splits.train[s, splits.group] > 0])
        assert held_out
        assert trained
        assert not held_out & trained


@pytest.mark.parametrize("cv", ["auto", 3])
def test_a_group_with_a_class_of_its_own_is_always_trained_on(cv):
    groups = np.repeat(np.arange(12), 20)
    codes = np.tile([0, 1], 120)
    codes[[41, 43]] = 2  # two samples of a class, both in group 2
    splits = chosen(cv, codes, groups=groups)
    trained, held_out = counts(splits)
    assert (trained[:, groups == 2] == 1).all()
    assert (held_out[:, groups == 2] == 0).all()
    np.testing.assert_array_equal(held_out[:, groups != 2].sum(0), 1)


def test_a_class_in_one_group_is_not_judged_and_there_is_a_warning():
    X, _ = blobs(3)
    groups = np.arange(60) % 10
    y = np.where(groups == 0, "mine", np.where(X[:, 0] > 0, "one", "two"))
    with pytest.warns(UserWarning, match=r"oof_score_ is NaN.* 1 class .*: 'mine'\.") as caught:
        model = short(ODENetClassifier, cv="auto", max_iter=3).fit(X, y, groups=groups)
    assert {warning.filename for warning in caught} == {__file__}
    assert np.isnan(model.oof_score_)
    assert np.isfinite(model.oof_decision_function_[groups > 0]).all()
    assert len(model.K_) >= folds.FOLDS


def test_one_group_is_no_obstacle_to_the_default():
    X, y = blobs(2)
    with pytest.warns(UserWarning, match="can hold nothing out.*: there are fewer than two groups"):
        model = short(ODENetClassifier, cv="auto", alpha="auto").fit(X, y, groups=np.zeros(60))
    assert len(model.K_) == 1


@pytest.mark.parametrize("cls", [ODENetClassifier, FeedForwardClassifier])
def test_many_rare_classes_that_are_easily_told_apart(cls):
    rng = np.random.default_rng(0)
    centres = 6 * rng.normal(size=(11, 5))
    y, y_new = (np.r_[np.zeros(200, int), np.repeat(np.arange(1, 11), n)] for n in (2, 50))
    X, X_new = (centres[of] + rng.normal(size=(len(of), 5)) for of in (y, y_new))
    model = cls(random_state=0).fit(X, y)
    assert balanced_accuracy_score(y_new, model.predict(X_new)) > 0.9
    assert np.isfinite(model.oof_decision_function_).all()  # all classes are held out
    assert model.oof_score_ > 0.9


def test_weights_that_single_precision_cannot_hold_side_by_side():
    splits = Splits.from_indices([(np.arange(6), np.arange(6, 12))], 12)
    weights = np.r_[np.full(6, 1e-45), np.ones(6)]
    splits.fold_weights(weights, np.float64, 1, 1)
    with pytest.raises(ValueError, match=r"sample_weight spans too many orders .* float32"):
        splits.fold_weights(weights, np.dtype(np.float32), 1, 1)


def test_very_many_samples_are_split_in_proportion_and_any_class_is_trained_on(monkeypatch):
    monkeypatch.setattr("skode._folds.HUGE", 1000)
    codes = np.repeat([0, 1, 2], [9000, 3000, 5])
    data = Data(np.zeros((len(codes), 1)), codes, None, np.ones(len(codes)), None, codes)
    splits = choose_splits(ODENetClassifier(), data, None, seed=0)
    assert len(splits) == 1
    held_out = splits.rows(0)
    np.testing.assert_array_equal(np.bincount(codes[held_out]), [1125, 375, 2])
    trained = np.flatnonzero(splits.train[0, splits.group])
    np.testing.assert_array_equal(np.union1d(trained, held_out), np.arange(len(codes)))
    assert not np.intersect1d(trained, held_out).size
    again = choose_splits(ODENetClassifier(), data, None, seed=0)
    np.testing.assert_array_equal(again.rows(0), held_out)
    assert not np.array_equal(choose_splits(ODENetClassifier(), data, None, 1).rows(0), held_out)


def test_groups_of_samples_take_the_smallest_integers():
    splits = Splits.from_indices(KFold(5).split(np.zeros((50, 1))), 50)
    assert splits.group.dtype == np.uint8
    assert splits.train.shape == (5, 5)
    np.testing.assert_array_equal(splits.train + splits.held_out, 1)
    many = Splits.from_indices([(np.arange(300).repeat(np.arange(300)), np.arange(300))], 300)
    assert many.group.dtype == np.uint16
    np.testing.assert_array_equal(many.train[0, many.group], np.arange(300))
