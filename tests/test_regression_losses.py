"""The losses of the regressors: their predictions, and all parts of a fit."""

import pickle

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, PoissonRegressor
from sklearn.metrics import mean_poisson_deviance, r2_score
from sklearn.preprocessing import StandardScaler

from skode import FeedForwardRegressor, ODENetRegressor
from skode._averaging import greedy_weights
from skode.engine.arrays import to_host
from skode.engine.schemes import TABLEAUX
from skode.inspection import costates, trajectories
from tests import reference
from tests.estimators import REGRESSORS, curve, recomputed_outputs, short

# Several tests run all losses with a quantile that most of them do not have.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:quantile=.* has no effect here:UserWarning"),
]

EULER = reference.triple(TABLEAUX["euler"])
# The names of the losses in the tests of the engine, which have one quantile.
TEXTBOOK = {
    "squared_error": "squared",
    "huber": "huber",
    "quantile": "quantile",
    "poisson": "poisson",
}
LOSSES = [*TEXTBOOK, "absolute_error"]
FITS = {"quantile": reference.QUANTILE, "max_iter": 15}


def data(loss, n_samples=60, n_targets=None, seed=0):
    """Smooth functions with noise; with "poisson", nonnegative numbers."""
    X, y = curve(n_samples, n_targets=n_targets, seed=seed)
    if loss == "poisson":
        return X, np.random.default_rng(seed).poisson(np.exp(y))
    return X, 5 * y - 7


def units(loss, y, weights):
    """Return centre and scale of every target, with integer weights."""
    repeated = np.repeat(y, weights, axis=0)
    mean = repeated.mean(axis=0)
    if loss == "squared_error":
        return mean, repeated.std(axis=0)
    if loss == "poisson":
        return 0 * mean, mean
    low, median, high = np.quantile(repeated, (0.25, 0.5, 0.75), axis=0, method="inverted_cdf")
    return median, (high - low) / 1.349


def textbook(loss, z, c):
    """Return the loss of outputs and targets, both (outputs, samples)."""
    if loss == "absolute_error":
        return reference.smooth_pinball(z, c, quantile=0.5).mean(axis=0)
    return reference.LOSSES[TEXTBOOK[loss]](z, c)


# --- predictions from the fitted arrays


@pytest.mark.parametrize("n_targets", [None, 2])
@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
@pytest.mark.parametrize("cls", REGRESSORS)
@pytest.mark.parametrize("loss", LOSSES)
def test_predictions_and_objective_from_the_fitted_arrays(loss, cls, solver, n_targets):
    X, y = data(loss, n_targets=n_targets)
    weights = np.random.default_rng(0).integers(0, 4, 60)
    options = {"lift": "linear", "n_restarts": 2, "alpha": 0.02, "solver": solver, **FITS}
    model = short(cls, loss=loss, **options).fit(X, y, weights)
    skip = 1.0 if cls is ODENetRegressor else 0.0
    z = recomputed_outputs(model, EULER, skip, X)
    centre, scale = units(loss, y, weights)
    said = (np.exp(z) if loss == "poisson" else z).mean(axis=0)
    assert model.predict(X).shape == y.shape
    np.testing.assert_allclose(model.predict(X), centre + scale * said.T.reshape(y.shape), 1e-9)
    standard = ((y - centre) / scale).reshape(60, -1).T
    for k in range(2):
        objective = np.average(textbook(loss, z[k], standard), weights=weights)
        objective += 0.01 * sum((part[k] ** 2).sum() for part in (model.K_, model.W_, model.V_))
        assert model.loss_[k] == pytest.approx(objective, rel=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
def test_predictions_are_the_mean_of_those_of_the_networks(loss):
    X, y = data(loss, n_targets=2)
    model = short(ODENetRegressor, loss=loss, cv=3, **FITS).fit(X, y)
    each = []
    for k in range(3):
        one = pickle.loads(pickle.dumps(model))
        for name in ("K_", "b_", "h_", "W_", "mu_"):
            setattr(one, name, getattr(model, name)[[k]])
        one.network_weights_ = np.ones(1)
        each.append(one.predict(X))
    np.testing.assert_allclose(model.predict(X), np.mean(each, axis=0), rtol=1e-10)
    assert np.abs(each[0] - each[1]).max() > 1e-3


@pytest.mark.parametrize("loss", LOSSES)
def test_out_of_fold_predictions_and_held_out_losses(loss):
    X, y = data(loss)
    folds = np.arange(60) % 3
    cv = [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(3)]
    model = short(ODENetRegressor, loss=loss, cv=cv, **FITS).fit(X, y)
    z = recomputed_outputs(model, EULER, 1.0, X)[:, 0]
    centre, scale = units(loss, y, np.ones(60, int))
    for k in range(3):
        out = folds == k
        said = np.exp(z[k, out]) if loss == "poisson" else z[k, out]
        np.testing.assert_allclose(model.oof_prediction_[out], centre + scale * said, rtol=1e-9)
        held_out = textbook(loss, z[k : k + 1, out], ((y - centre) / scale)[None, out]).mean()
        assert model.validation_loss_[0, k, 0] == pytest.approx(held_out, rel=1e-9)
    assert model.oof_score_ == pytest.approx(r2_score(y, model.oof_prediction_))


@pytest.mark.parametrize("loss", LOSSES)
def test_candidates_are_weighed_by_the_loss(loss):
    X, y = data(loss)
    options = {"loss": loss, "cv": 2, "quantile": reference.QUANTILE, "max_iter": 8}
    alphas = (1e-3, 0.3, 1.0)
    both = short(ODENetRegressor, alpha=alphas, **options).fit(X, y)
    each = [short(ODENetRegressor, alpha=alpha, **options).fit(X, y) for alpha in alphas]
    centre, scale = units(loss, y, np.ones(60, int))
    predictions = np.array([(model.oof_prediction_ - centre) / scale for model in each])
    standard = (y - centre) / scale

    def loss_of(mean):
        if loss == "poisson":
            return mean_poisson_deviance(standard, mean)
        return textbook(loss, mean[None], standard[None]).mean()

    weights = greedy_weights(loss_of, predictions)
    np.testing.assert_allclose(both.candidates_["weight"], weights)
    losses = [model.validation_loss_.mean() for model in each]
    np.testing.assert_allclose(both.candidates_["validation_loss"], losses, rtol=1e-9)


# --- predicted quantities


def heteroscedastic(n_samples, seed):
    """Normal noise of a deviation that grows from 0.15 to 1.15."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n_samples, 3))
    deviation = 0.15 + 0.5 * np.abs(X[:, 0])
    y = np.sin(2 * X[:, 0]) + X[:, 1] + deviation * rng.normal(size=n_samples)
    return X, y


@pytest.mark.parametrize(
    ("quantile", "solver", "n_samples"),
    [(0.1, "lbfgs", 600), (0.9, "lbfgs", 600), (0.1, "adam", 2000), (0.5, "adam", 2000)],
)
def test_the_right_share_of_new_samples_lies_below_a_quantile(quantile, solver, n_samples):
    below, losses = [], []
    for seed in range(4):
        X, y = heteroscedastic(n_samples, seed)
        model = ODENetRegressor(loss="quantile", quantile=quantile, solver=solver, random_state=0)
        X_new, y_new = heteroscedastic(4000, 100 + seed)
        found = model.fit(X, y).predict(X_new)
        below.append(y_new <= found)
        miss = y_new - found
        losses.append(np.maximum(quantile * miss, (quantile - 1) * miss).mean())
    assert np.mean(below) == pytest.approx(quantile, abs=0.02)
    # Both for small and for large noise.
    wide = np.concatenate([np.abs(heteroscedastic(4000, 100 + s)[0][:, 0]) > 1 for s in range(4)])
    for part in (wide, ~wide):
        assert np.concatenate(below)[part].mean() == pytest.approx(quantile, abs=0.04)


def test_absolute_error_predicts_the_median_of_skewed_noise():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 2))
    y = X[:, 0] + rng.exponential(size=3000)
    X_new = rng.normal(size=(4000, 2))
    y_new = X_new[:, 0] + rng.exponential(size=4000)
    shares = {}
    for loss in ("absolute_error", "squared_error"):
        model = ODENetRegressor(loss=loss, max_iter=30, random_state=0).fit(X, y)
        shares[loss] = (y_new <= model.predict(X_new)).mean()
    assert shares["absolute_error"] == pytest.approx(0.5, abs=0.03)
    assert shares["squared_error"] == pytest.approx(1 - np.exp(-1), abs=0.03)


@pytest.mark.parametrize("loss", ["absolute_error", "huber"])
def test_outliers_do_not_spoil_what_robust_losses_predict(loss):
    X, y = curve(400)
    spoilt = y.copy()
    spoilt[::20] += 1e4
    X_new, y_new = curve(400, seed=1)
    model = ODENetRegressor(loss=loss, random_state=0).fit(X, spoilt)
    assert r2_score(y_new, model.predict(X_new)) > 0.8
    squared = ODENetRegressor(random_state=0).fit(X, spoilt)
    assert r2_score(y_new, squared.predict(X_new)) < 0


@pytest.mark.parametrize("cls", REGRESSORS)
def test_counts_are_predicted_better_than_by_a_linear_model(cls):
    def counts(n_samples, seed):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(n_samples, 3))
        rate = np.exp(np.sin(2 * X[:, 0]) + 0.5 * X[:, 1] - 0.5)
        return X, rng.poisson(rate), rate

    (X, y, _), (X_new, y_new, rate) = counts(1000, 0), counts(4000, 1)
    model = cls(loss="poisson", random_state=0).fit(X, y)
    found = model.predict(X_new)
    assert (found > 0).all()
    best, linear, ours = (
        mean_poisson_deviance(y_new, mean)
        for mean in (rate, PoissonRegressor(alpha=0).fit(X, y).predict(X_new), found)
    )
    assert ours - best < 0.25 * (linear - best)
    assert found.mean() == pytest.approx(y_new.mean(), rel=0.1)


# --- other parts of a fit


@pytest.mark.parametrize("cls", REGRESSORS)
@pytest.mark.parametrize("loss", LOSSES)
def test_weights_are_like_duplicates(loss, cls):
    X, y = data(loss, n_targets=2)
    weights = np.random.default_rng(1).integers(0, 3, 60)
    options = {"loss": loss, **FITS}
    repeated = short(cls, **options).fit(np.repeat(X, weights, 0), np.repeat(y, weights, 0))
    for factor in (1, 7.5):
        weighted = short(cls, **options).fit(X, y, sample_weight=factor * weights)
        np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_units_of_the_targets_do_not_matter(loss):
    X, y = data(loss)
    options = {"loss": loss, "cv": 3, **FITS}
    plain = short(ODENetRegressor, **options).fit(X, y)
    for factor, shift in ((1e-200, 0.0), (1e200, 0.0), (30.0, 5.0)):
        shift = 0.0 if loss == "poisson" else shift
        other = short(ODENetRegressor, **options).fit(X, factor * y + shift)
        expected = factor * plain.predict(X) + shift
        np.testing.assert_allclose(other.predict(X), expected, rtol=1e-6)
        assert other.oof_score_ == pytest.approx(plain.oof_score_, rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_constant_targets_are_predicted_as_they_are(loss):
    X, _ = curve()
    for value in (0.1, 5.0):
        model = short(ODENetRegressor, loss=loss, cv=3, alpha=0.0).fit(X, np.full(60, value))
        # The Poisson loss and the quantile loss have their minimum at, or near, the output zero.
        tolerance = 0.05 if loss == "quantile" else 1e-3
        np.testing.assert_allclose(model.predict(X), value, rtol=tolerance)


def test_targets_that_are_mostly_zero_have_a_scale():
    X, y = curve(400)
    y = np.where(y > 1.0, y, 0.0)
    assert np.quantile(y, 0.75) == np.quantile(y, 0.25)
    model = ODENetRegressor(loss="quantile", quantile=0.9, random_state=0).fit(X, y)
    assert model._scale == pytest.approx(y.std())
    assert (y <= model.predict(X)).mean() == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize("cls", REGRESSORS)
@pytest.mark.parametrize("loss", LOSSES)
def test_single_precision_stays(loss, cls):
    X, y = data(loss, n_targets=2)
    # A few iterations only: at a kink, rounding soon decides which way training takes.
    options = {"loss": loss, "cv": 3, **FITS, "max_iter": 5}
    single = short(cls, **options).fit(X.astype(np.float32), y)
    double = short(cls, **options).fit(X, y)
    assert single.K_.dtype == np.float32
    assert single.predict(X.astype(np.float32)).dtype == np.float64
    scale = np.abs(double.predict(X)).max()
    np.testing.assert_allclose(single.predict(X), double.predict(X), atol=5e-3 * scale)


@pytest.mark.parametrize("loss", LOSSES)
def test_streams(loss):
    X, y = data(loss, 400, n_targets=2)
    model = short(ODENetRegressor, loss=loss, solver="adam", quantile=0.7)
    for _ in range(30):
        for k in range(0, 400, 100):
            model.partial_fit(X[k : k + 100], y[k : k + 100])
    assert model.loss_curve_.T[0, -1] < 0.9 * model.loss_curve_.T[0, 1]
    model.set_params(loss="huber" if loss != "huber" else "poisson")
    with pytest.raises(ValueError, match=r"another loss than .* start afresh"):
        model.partial_fit(X, y)


def test_a_stream_may_go_on_with_another_quantile():
    X, y = curve(400)
    model = short(ODENetRegressor, loss="quantile", solver="adam", quantile=0.1)
    shares = []
    for quantile in (0.1, 0.9):
        model.set_params(quantile=quantile)
        for _ in range(100):
            model.partial_fit(X, y)
        shares.append((y <= model.predict(X)).mean())
    assert shares == pytest.approx([0.1, 0.9], abs=0.08)


@pytest.mark.parametrize("scheme", ["heun", "gauss4"])
@pytest.mark.parametrize("n_targets", [None, 2])
@pytest.mark.parametrize("loss", LOSSES)
def test_costates_are_derivatives_of_the_loss(loss, n_targets, scheme):
    X, y = data(loss, 20, n_targets=n_targets)
    options = {"loss": loss, "scheme": scheme, "h": 0.5, "cv": 2, "quantile": reference.QUANTILE}
    model = short(ODENetRegressor, max_iter=5, **options).fit(X, y)
    model.set_params(loss="squared_error", quantile=0.3)  # the fitted value is used
    p, states = costates(model, X, y), trajectories(model, X)
    centre, scale = units(loss, y, np.ones(20, int))
    standard = ((y - centre) / scale).reshape(20, -1).T
    for k in range(2):

        def J(yN, k=k):
            z = model.W_[k] @ yN.T + model.mu_[k][:, None]
            return textbook(loss, z, standard).mean()

        direction = np.random.default_rng(k).normal(size=states[k, -1].shape)
        expected = J(states[k, -1] + 1e-40j * direction).imag / 1e-40
        np.testing.assert_allclose((p[k, -1] * direction).sum(), expected, rtol=1e-10)


@pytest.mark.parametrize("scheme", ["implicit_midpoint", "radau_iia3"])
@pytest.mark.parametrize("loss", LOSSES)
def test_implicit_schemes(loss, scheme):
    X, y = data(loss)
    model = short(ODENetRegressor, loss=loss, scheme=scheme, N=2, h=0.5, cv=3, **FITS).fit(X, y)
    z = recomputed_outputs(model, reference.triple(TABLEAUX[scheme]), 1.0, X)[:, 0]
    centre, scale = units(loss, y, np.ones(60, int))
    said = (np.exp(z) if loss == "poisson" else z).mean(axis=0)
    np.testing.assert_allclose(model.predict(X), centre + scale * said, rtol=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_library_fits_the_same(loss, xp, dispatch):
    X, y = data(loss, n_targets=2)
    options = {"loss": loss, "cv": 3, "max_iter": 8, "quantile": 0.8}
    expected = short(ODENetRegressor, **options).fit(X, y)
    model = short(ODENetRegressor, **options).fit(xp.asarray(X), xp.asarray(y))
    found = model.predict(xp.asarray(X))
    assert xp.holds(found)
    np.testing.assert_allclose(to_host(found), expected.predict(X), rtol=1e-8)
    np.testing.assert_allclose(to_host(model.oof_prediction_), expected.oof_prediction_, rtol=1e-8)


def test_the_quantile_is_of_no_concern_to_other_losses():
    X, y = curve()
    for loss in ("squared_error", "absolute_error", "huber"):
        one, other = (short(ODENetRegressor, loss=loss, quantile=q).fit(X, y) for q in (0.5, 0.9))
        np.testing.assert_array_equal(one.predict(X), other.predict(X))


def test_absolute_error_is_the_quantile_loss_of_one_half():
    X, y = curve()
    one, other = (short(ODENetRegressor, loss=loss) for loss in ("absolute_error", "quantile"))
    np.testing.assert_array_equal(one.fit(X, y).predict(X), other.fit(X, y).predict(X))


def test_a_warm_start_goes_on_with_the_same_loss():
    X, y = data("poisson")
    model = short(FeedForwardRegressor, loss="poisson", warm_start=True, **FITS).fit(X, y)
    before = model.loss_[0]
    model.fit(X, y)
    assert model.loss_curve_.T[0, 0] == pytest.approx(before)
    with pytest.raises(ValueError, match=r"another loss than 'squared_error'. Set it as before"):
        model.set_params(loss="squared_error").fit(X, y)


def test_a_line_is_fitted_as_robustly_as_by_a_linear_model():
    # With symmetric noise, every loss predicts the median.
    rng = np.random.default_rng(0)
    X = StandardScaler().fit_transform(rng.normal(size=(500, 3)))
    y = X @ [1.0, -2.0, 0.5] + 0.3 * rng.normal(size=500)
    line = LinearRegression().fit(X, y).predict(X)
    for loss in ("squared_error", "absolute_error", "huber", "quantile"):
        model = ODENetRegressor(loss=loss, activation="identity", lift="linear", random_state=0)
        assert np.abs(model.fit(X, y).predict(X) - line).mean() < 0.1
