"""The arguments of fit on a cluster: tables, files and everything that is wrong with them."""

import subprocess
import sys
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from dask import dataframe as dd
from dask.distributed import Client

from skode import ODENetClassifier
from skode.dask import DaskODENetClassifier, DaskODENetRegressor
from skode.dask import _tables as tables
from tests.dask.test_estimators import assert_same_model, parts
from tests.estimators import blobs, short

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.usefixtures("client"),
]


@pytest.fixture
def frame():
    X, y = blobs(2, 300)
    X = X.round(3)  # so that text holds the same numbers
    return pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=y, w=1 + np.arange(300) % 3)


def model_of(frame, **fit):
    model = short(ODENetClassifier, solver="lbfgs", cv=3)
    return model.fit(frame[["a", "b", "c"]], frame["y"], **fit)


# Dask calls pandas in an old way when it reads Parquet files.
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index")
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_workers_read_files(kind, frame, tmp_path, small_units):
    files = []
    for k, part in enumerate((frame[:130], frame[130:])):
        files.append(tmp_path / f"{k}.{kind}")
        if kind == "csv":
            part.to_csv(files[-1], index=False)
        else:
            part.to_parquet(files[-1], row_group_size=40, index=False)
    model = short(DaskODENetClassifier, solver="lbfgs", cv=3)
    model.fit(files, "y", sample_weight="w")
    assert_same_model(model, model_of(frame, sample_weight=frame["w"]))
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]


def test_each_row_group_of_parquet_is_a_part(frame, tmp_path):
    frame.to_parquet(tmp_path / "all.parquet", row_group_size=40)
    assert tables.read(tmp_path / "all.parquet").npartitions == 8


def test_files_of_numpy_are_memory_maps(frame, tmp_path, monkeypatch, small_units):
    monkeypatch.setattr(tables, "PART_BYTES", 3 * 8 * 70)
    np.save(tmp_path / "X.npy", frame[["a", "b", "c"]].to_numpy())
    np.save(tmp_path / "y.npy", frame["y"].to_numpy())
    assert tables.read(str(tmp_path / "X.npy")).chunks[0] == (70, 70, 70, 70, 20)
    model = short(DaskODENetClassifier, solver="lbfgs", cv=3)
    model.fit(tmp_path / "X.npy", [tmp_path / "y.npy"])
    local = short(ODENetClassifier, solver="lbfgs", cv=3)
    assert_same_model(model, local.fit(frame[["a", "b", "c"]].to_numpy(), frame["y"]))


def test_files_that_cannot_be_read(frame, tmp_path):
    frame.to_parquet(tmp_path / "a.parquet")
    model = short(DaskODENetClassifier)
    with pytest.raises(ValueError, match=r"no column 'z'; they have a, b, c, y, w"):
        model.fit(tmp_path / "a.parquet", "z")
    with pytest.raises(ValueError, match=r"end in \.json; they must all be \.parquet"):
        model.fit(["a.json"], "y")
    with pytest.raises(ValueError, match=r"\.csv, \.parquet"):
        model.fit(["a.csv", "b.parquet"], "y")
    with pytest.raises(FileNotFoundError):
        model.fit([tmp_path / "missing.npy"], "y")
    with pytest.raises(FileNotFoundError, match=r"no-\*\.parquet"):
        model.fit("no-*.parquet", "y")


def test_data_in_memory_is_for_the_other_estimator():
    X, y = blobs(2, 60)
    with pytest.raises(TypeError, match=r"array or a data frame of Dask.* it is ndarray"):
        short(DaskODENetClassifier).fit(X, y)


def test_without_a_cluster():
    code = """
import dask.array as da
from skode.dask import DaskODENetClassifier
try:
    DaskODENetClassifier().fit(da.ones((9, 2)), da.ones(9))
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "There is no cluster to train on" in done.stdout


@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index")
@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize("missing", ["a", "y"])
def test_files_with_other_columns(kind, missing, frame, tmp_path):
    for k, part in enumerate([frame, frame.drop(columns=missing)]):
        path = tmp_path / f"{k}.{kind}"
        if kind == "csv":
            part.to_csv(path, index=False)
        else:
            part.to_parquet(path)
    with pytest.raises(
        ValueError, match=f"other columns than the first: .*{missing}.*the same columns"
    ):
        short(DaskODENetClassifier).fit(str(tmp_path / f"*.{kind}"), "y")


def test_the_error_for_text_names_the_remedy():
    X, y = blobs(2, 60)
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(text=np.where(y, "x", "y"))
    table = dd.from_pandas(frame, npartitions=2)
    model = short(DaskODENetClassifier, n_channels=5, max_iter=3)
    with pytest.raises(
        ValueError, match=r"could not convert.*\n.*get_dummies\(X.categorize\(\)\)$"
    ):
        model.fit(table, y)
    encoded = dd.get_dummies(table.categorize())
    assert model.fit(encoded, y).n_features_in_ == 5
    local = short(ODENetClassifier, n_channels=5, max_iter=3).fit(encoded.compute(), y)
    np.testing.assert_array_equal(model.K_, local.K_)


def test_errors_leave_the_estimator_as_it_was():
    X, y = blobs(2, 60)
    model = short(DaskODENetClassifier).fit(parts(X), parts(y))
    before = dict(vars(model))
    wrong = {
        "contains NaN": (parts(np.where(X > 1, np.nan, X)), parts(y)),
        "inconsistent numbers of samples": (parts(X), parts(y[:-1])),
        "Expected 2D array": (parts(X[:, 0]), parts(y)),
        "needs y": (parts(X), None),
        "could not convert string": (parts(X.astype("U5").astype(object) + "x"), parts(y)),
        "negative": (parts(X), parts(y), parts(np.full(60, -1.0))),
    }
    for message, arguments in wrong.items():
        with pytest.raises(ValueError, match=message):
            model.fit(*arguments)
        assert vars(model).keys() == before.keys()
        assert all(vars(model)[name] is before[name] for name in before)
    with pytest.raises(ValueError, match=r"the same columns as X.* X_val: 2; of X: 3"):
        model.fit(parts(X), parts(y), X_val=parts(X[:, :2]), y_val=parts(y))
    for m in (59, 61):
        labels = np.resize(y, m)
        with pytest.raises(ValueError, match=rf"X_val has 60 samples, .* \({m},\)"):
            model.fit(parts(X), parts(y), X_val=parts(X), y_val=labels)
    with pytest.raises(TypeError, match="X_val must be an array or a data frame of Dask"):
        model.fit(parts(X), parts(y), X_val=X, y_val=y)
    with pytest.raises(ValueError, match="y_val was given without X_val"):
        model.fit(parts(X), parts(y), y_val=parts(y))


def test_files_of_a_relative_folder(frame, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("X.npy", frame[["a", "b", "c"]].to_numpy())
    np.testing.assert_array_equal(tables.read("X.npy").compute(), frame[["a", "b", "c"]])
    Path("folder").mkdir()
    frame[:200].to_parquet("folder/0.parquet")
    frame[200:].to_parquet("folder/1.parquet")
    pd.testing.assert_frame_equal(tables.read("folder").compute(), frame)
    pd.testing.assert_frame_equal(tables.read("folder/*.parquet").compute(), frame)


def test_the_precision_is_that_of_the_common_type():
    X, y = blobs(2, 60)
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).astype("f").assign(d=X[:, 0] > 0)
    mixed = frame.astype({"a": "float16", "b": "int64"})
    for table in (frame, frame.astype({"a": "float16"}), mixed, frame.astype("Float32")):
        model = short(DaskODENetClassifier).fit(dd.from_pandas(table, npartitions=2), y)
        assert_same_model(model, short(ODENetClassifier).fit(table, y))


def test_a_closed_client():
    X, y = blobs(2, 60)
    with Client(processes=False, n_workers=1, dashboard_address=":0") as closed:
        model = short(DaskODENetClassifier)
        model.client = closed
    with pytest.raises(ValueError, match="needs a client that is running"):
        model.fit(parts(X), parts(y))


def test_a_fit_in_a_task(client):
    X, y = blobs(2, 60)

    def fitted():
        return short(DaskODENetClassifier).fit(parts(X), parts(y))

    with pytest.raises(ValueError, match="cannot be called in a task"):
        client.submit(fitted, pure=False).result()


def test_no_rows():
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        short(DaskODENetClassifier).fit(da.empty((0, 3)), da.empty(0))


def test_integers_become_double_precision():
    X = np.arange(60).reshape(20, 3) % 7
    model = short(DaskODENetRegressor).fit(parts(X), parts(X[:, 0]))
    assert model.K_.dtype == np.float64


def test_tasks_have_names_for_the_dashboard():
    X, y = blobs(2, 60)
    model = short(DaskODENetClassifier).fit(parts(X), parts(y))
    names = {dask.utils.key_split(key) for key in model.predict_proba(parts(X)).dask}
    assert "skode-predict-proba" in names


def test_skode_works_without_dask():
    code = """
import sys
sys.modules["dask"] = None
import skode
assert "dask" in dir(skode)
try:
    import skode.dask
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'skode[dask]'" in done.stdout
