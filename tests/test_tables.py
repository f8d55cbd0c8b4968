"""Tables with text, categories and missing values: the error message, and its advice."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import skode
from tests.estimators import BOTH, REGRESSORS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def table(m=300):
    """Return a mixed table with missing values, and a target that depends on it."""
    rng = np.random.default_rng(0)
    age, city = rng.normal(size=m), rng.choice(["Rome", "Oslo", "Bath"], m)
    X = pd.DataFrame(
        {
            "age": age,
            "city": city,
            "kind": pd.Categorical(rng.choice(["x", "y"], m)),
            "flag": rng.integers(0, 2, m).astype(bool),
        }
    )
    X["day"] = pd.date_range("2020-01-01", periods=m)
    X.loc[::7, "age"], X.loc[::11, "city"] = np.nan, None
    return X, ((age > 0) ^ (city == "Rome")).astype(int)


def by_skrub(model):
    return pytest.importorskip("skrub").tabular_pipeline(model)


def by_columns(model):
    """Return the preprocessing from the user guide."""
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    words = OneHotEncoder(handle_unknown="ignore")
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (words, make_column_selector(dtype_exclude="number")),
    )
    return make_pipeline(columns, model)


@pytest.mark.parametrize("prepared", [by_skrub, by_columns])
@pytest.mark.parametrize("cls", [*BOTH, *REGRESSORS])
def test_a_mixed_table_with_missing_values(cls, prepared):
    X, y = table()
    model = prepared(cls(random_state=0, n_channels=16, cv=3)).fit(X, y)
    assert model.score(X, y) > (0.85 if cls in BOTH else 0.5)
    assert model.predict(X[:5]).shape == (5,)


@pytest.mark.parametrize("columns", [["age"], ["city"], ["kind"], ["age", "day"]])
@pytest.mark.parametrize("cls", [*BOTH, *REGRESSORS])
def test_the_error_names_the_remedy(cls, columns):
    X, y = table()
    numbers = pd.DataFrame(np.random.default_rng(0).normal(size=(300, len(columns))))
    fitted = cls(max_iter=2, cv=None).fit(numbers.to_numpy(), y)
    for call in (
        lambda: cls().fit(X[columns], y),
        lambda: fitted.predict(X[columns].to_numpy()),
        lambda: cls(max_iter=2).fit(numbers.to_numpy(), y, X_val=X[columns].to_numpy(), y_val=y),
    ):
        with pytest.raises((TypeError, ValueError)) as error:
            call()
        remedy = str(error.value).splitlines()[-1].rpartition(": ")[2]
        assert remedy == f"skrub.tabular_pipeline({cls.__name__}())"
        skrub = pytest.importorskip("skrub")
        assert eval(remedy, {"skrub": skrub, **vars(skode)})[-1].get_params() == cls().get_params()


def test_what_has_another_cause_is_said_as_it_was():
    X, y = np.ones((20, 2)), np.arange(20) % 2
    X[0, 0] = np.inf
    with pytest.raises(ValueError, match="infinity") as error:
        skode.ODENetClassifier().fit(X, y)
    assert "skrub" not in str(error.value)
