"""
A table with categories, dates and missing values
=================================================

Networks compute with numbers, but tables of the real world have text, dates and gaps. This example
predicts the rent of flats from such a table, with :class:`~skode.ODENetRegressor` after the usual
preparation: once with scikit-learn alone, and once with `skrub <https://skrub-data.org>`_, which
needs a single line.

The table is made up, so that this page can be built without internet access. Its rents depend on
the columns in the way you would expect. Some values are missing, and not by chance: owners like to
keep quiet about a poor energy rating.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skode import ODENetRegressor

try:
    import skrub
except ImportError:  # the rest of the example works without it
    skrub = None


def make_flats(n_samples=600, seed=0):
    """Make up a table of flats, and their rents in euros."""
    rng = np.random.default_rng(seed)
    district = rng.choice(["Altstadt", "Hafen", "Nord", "Park", "West"], n_samples)
    area = rng.gamma(9, 8, n_samples).clip(18, 180)
    built = rng.integers(1890, 2024, n_samples).astype(float)
    rating = np.clip((2024 - built) / 25 + rng.normal(0, 1.2, n_samples), 0, 6).astype(int)
    listed = pd.Timestamp("2022-01-01") + pd.to_timedelta(rng.integers(0, 1000, n_samples), "D")
    balcony = rng.random(n_samples) < 0.5
    place = pd.Series(district).map(
        {"Altstadt": 1.35, "Hafen": 1.1, "Nord": 0.85, "Park": 1.25, "West": 1.0}
    )
    # Very old houses are in demand, those of the sixties are not.
    charm = 1 + 0.25 * ((built - 1965) / 60) ** 2
    trend = 1 + 0.1 * np.asarray((listed - listed.min()).days) / 1000
    rent = 9.5 * area**0.95 * place.to_numpy() * charm * trend * (1 - 0.04 * rating)
    rent = (rent + 60 * balcony) * np.exp(0.08 * rng.normal(size=n_samples))

    flats = pd.DataFrame(
        {
            "area": area.round(),
            "built": built,
            "energy rating": pd.Series(list("ABCDEFG"))[rating].to_numpy(dtype=object),
            "district": district,
            "balcony": np.where(balcony, "yes", "no"),
            "listed": listed,
        }
    )
    flats.loc[rng.random(n_samples) < 0.02 + 0.08 * rating, "energy rating"] = None
    flats.loc[rng.random(n_samples) < 0.15, "built"] = np.nan
    return flats, rent


X, y = make_flats()
print(X.head(6).to_string())
print(f"\nmissing values by column:\n{X.isna().sum().to_string()}")

# %%
# With scikit-learn
# -----------------
#
# Each kind of column has its own preparation. Gaps in numbers are filled with the median, and an
# indicator column says where they were. Categories become columns of zeros and ones; a missing
# value is a category of its own, so the network can learn what silence about the rating means. A
# date becomes the number of days since the start.


def days(dates):
    """Return the days since the beginning of 2022."""
    return (dates - pd.Timestamp("2022-01-01")) / pd.Timedelta("1D")


def prepared(model):
    """Return a pipeline that prepares the table for the model."""
    columns = make_column_transformer(
        (
            make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()),
            ["area", "built"],
        ),
        (
            OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            ["energy rating", "district", "balcony"],
        ),
        (make_pipeline(FunctionTransformer(days), StandardScaler()), ["listed"]),
    )
    return make_pipeline(columns, model)


models = {"ODENetRegressor": prepared(ODENetRegressor(random_state=0))}

# %%
# With skrub
# ----------
#
# ``skrub.tabular_pipeline`` looks at the columns and chooses a preparation that suits the model.

if skrub is not None:
    models["ODENetRegressor, skrub"] = skrub.tabular_pipeline(ODENetRegressor(random_state=0))

# %%
# How good is it?
# ---------------
#
# Gradient-boosted trees take such a table almost as it is, and a linear model is the least that a
# network must beat. All models are judged by the same three folds.


def with_day_numbers(table):
    """Return the table with numbers in place of dates, and with categories marked as such."""
    names = dict.fromkeys(("energy rating", "district", "balcony"), "category")
    return table.assign(listed=days(table["listed"])).astype(names)


models["HistGradientBoostingRegressor"] = make_pipeline(
    FunctionTransformer(with_day_numbers),
    HistGradientBoostingRegressor(categorical_features="from_dtype", random_state=0),
)
models["RidgeCV"] = prepared(RidgeCV(alphas=np.logspace(-3, 3, 7)))

folds = KFold(3, shuffle=True, random_state=0)
predicted = {name: cross_val_predict(model, X, y, cv=folds) for name, model in models.items()}
errors = {
    name: np.array([np.abs(p[test] - y[test]).mean() for _, test in folds.split(X)])
    for name, p in predicted.items()
}
for name, error in errors.items():
    print(f"{name:30} mean absolute error {error.mean():6.1f} euros")

# %%
# The network has the smallest error. Rents are products of factors, and smooth functions of the
# area, the year and the date; trees have to build them from steps, and the linear model has no
# products at all. On the right, crosses mark the flats without a rating.

missing = X["energy rating"].isna().to_numpy()
p = predicted["ODENetRegressor"]
for name, rows in {"known": ~missing, "missing": missing}.items():
    print(f"rating {name:8} mean absolute error {np.abs(p - y)[rows].mean():.1f} euros")

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
for row, (name, error) in enumerate(reversed(errors.items())):
    spread = error.std() / np.sqrt(len(error))
    colour = "#0072B2" if name.startswith("ODENet") else "0.35"
    left.errorbar(error.mean(), row, xerr=spread, fmt="o", color=colour, ms=8, capsize=4)
left.set_yticks(range(len(errors)), reversed(errors))
left.set(
    xlabel="mean absolute error in euros, mean and standard error",
    title="Three folds",
    ylim=(-0.5, len(errors) - 0.5),
)
right.axline((0, 0), slope=1, color="0.6", lw=1, zorder=0)
right.scatter(p[~missing], y[~missing], s=12, c="#0072B2", alpha=0.6, label="rating known")
right.scatter(p[missing], y[missing], s=18, c="#D55E00", marker="x", lw=0.9, label="rating missing")
right.set(
    xlabel="predicted rent in euros, held-out folds",
    ylabel="rent in euros",
    title="ODENetRegressor",
    aspect="equal",
)
right.legend(frameon=False)
plt.show()
