"""Saved models are restored exactly: arrays to the last bit, parameters, and training."""

import io
import json
import os
import stat
import subprocess
import sys
import tracemalloc
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from sklearn import config_context, model_selection
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import make_scorer, median_absolute_error
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

import skode
from skode import ButcherTableau
from skode._regression import LOSSES
from skode._saving.files import read
from skode._saving.models import FORMAT
from skode._saving.values import SPLITTERS, UnstorableError, decoded, encoded
from skode.engine.schemes import TABLEAUX
from tests.estimators import BOTH, REGRESSORS, blobs, curve, short
from tests.libraries import SCHEMES, VARIANTS, data_for
from tests.saved.write import FOLDER, prediction

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

few = partial(short, max_iter=3)
HEUN = TABLEAUX["heun"]
OPTIONS = {
    **VARIANTS,
    **SCHEMES,
    "both views": {"features": "both", "lift": "nonlinear", "cv": 3, "alpha": (1e-3, 1e-2)},
    "pieces": {"features": "piecewise", "lift": "linear"},
    "own tableau": {"scheme": ButcherTableau(HEUN.A, HEUN.b, HEUN.c, name="mine")},
    "own triple": {"scheme": (HEUN.A, HEUN.b, HEUN.c)},
    "own arrays": {"scheme": [np.array(HEUN.A), np.array(HEUN.b), np.array(HEUN.c)]},
}
LABELS = {
    "strings": np.array(["a", "bb", "ç"]),
    "objects": np.array(["a", "bb", "ç\ud800\0"], dtype=object),
    "integers": np.array([-(2**62), 0, 2**62]),
    "small integers": np.array([0, 1, 255], dtype=np.uint8),
    "floats": np.array([0.0, 1.0, 5.0]),
    "dates": np.array(["2024-02-29", "2025-02-28", "2026-02-28"], dtype="datetime64[D]"),
}


def saved(model):
    file = io.BytesIO()
    skode.save(model, file)
    return file


def again(model):
    return skode.load(saved(model))


def assert_equal(one, other):
    """Check that values and types are equal, to the last bit."""
    if isinstance(one, np.ndarray):
        assert isinstance(other, np.ndarray)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other, strict=True)
        if one.dtype.kind == "f":
            np.testing.assert_array_equal(np.signbit(one), np.signbit(other))
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert type(one) is type(other)
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_equal(a, b)
    elif isinstance(one, float):
        assert one == other or (np.isnan(one) and np.isnan(other))
    elif hasattr(one, "__dict__"):
        assert type(one) is type(other)
        assert repr(one) == repr(other)
        assert_equal(vars(one), vars(other))
    else:
        assert one == other


def assert_same_model(model, X):
    loaded = again(model)
    assert type(loaded) is type(model)
    assert vars(loaded).keys() == vars(model).keys()
    for name, value in vars(model).items():
        # Some numbers are NumPy scalars or zero-dimensional arrays.
        value, other = (
            np.asarray(part) if isinstance(part, np.generic) else part
            for part in (value, getattr(loaded, name))
        )
        assert_equal(value, np.asarray(other) if isinstance(value, np.ndarray) else other)
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        if hasattr(model, name):
            assert_equal(getattr(model, name)(X), getattr(loaded, name)(X))
    return loaded


# --- round trips


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (cls, options)
        for cls in BOTH + REGRESSORS
        for options in OPTIONS
        if OPTIONS[options].keys() <= cls().get_params().keys()
    ],
)
def test_every_option_comes_back(cls, options):
    X, y = data_for(cls)
    model = few(cls, **{**OPTIONS[options], "max_iter": 3}).fit(X, y)
    assert_same_model(model, X)


@pytest.mark.parametrize("scheme", TABLEAUX)
def test_every_scheme_comes_back(scheme):
    X, y = blobs(3)
    assert_same_model(few(skode.ODENetClassifier, scheme=scheme, h=0.3).fit(X, y), X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_of_regression_comes_back(loss, dtype):
    X, y = curve(n_targets=2)
    for target in (np.exp(y), np.exp(y[:, 0])):
        quantile = {"quantile": 0.3} if loss == "quantile" else {}
        model = few(skode.ODENetRegressor, loss=loss, cv=2, **quantile).fit(X.astype(dtype), target)
        loaded = assert_same_model(model, X.astype(dtype))
        assert loaded.K_.dtype == dtype


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
@pytest.mark.parametrize("n_classes", [1, 2, 3])
def test_every_loss_and_number_of_classes_comes_back(loss, n_classes):
    X, y = blobs(n_classes)
    model = few(skode.FeedForwardClassifier, loss=loss, cv=None).fit(X.astype(np.float32), y)
    assert_same_model(model, X.astype(np.float32))


def test_several_labels_come_back():
    X, y = blobs(3)
    Y = np.stack([y == 0, y == 1, y == 2], axis=1).astype(int)
    assert_same_model(few(skode.ODENetClassifier, cv=2).fit(X, Y), X)


@pytest.mark.parametrize("labels", LABELS)
def test_class_labels_of_every_type_come_back(labels):
    X, y = blobs(3)
    assert_same_model(few(skode.ODENetClassifier).fit(X, LABELS[labels][y]), X)
    assert_same_model(few(skode.ODENetClassifier).fit(X, y == 1), X)


def test_names_of_features_come_back_and_are_checked():
    X, y = blobs()
    frame = pd.DataFrame(X, columns=["a", "b" * 300, "\u00e7\0"])
    loaded = assert_same_model(few(skode.ODENetClassifier).fit(frame, y), frame)
    assert loaded.feature_names_in_.dtype == object
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.predict(frame.rename(columns={"a": "z"}))


def test_arrays_of_other_libraries_are_stored_as_host_arrays(xp, dispatch):
    X, y = blobs(3)
    X = X.astype(np.float32)
    model = few(skode.ODENetClassifier, alpha=(1e-3, 1e-2), cv=2).fit(xp.asarray(X), xp.asarray(y))
    loaded = again(model)
    assert xp.holds(model.K_)  # the saved model is not changed
    assert_equal(vars(loaded)["K_"], model.to_host().K_)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_a_saved_model_is_saved_again_with_the_same_bytes():
    X, y = blobs(3)
    model = few(skode.ODENetClassifier, cv=2).fit(X, y)
    file = saved(model)
    assert file.getvalue() == saved(model).getvalue()
    assert file.getvalue() == saved(skode.load(file)).getvalue()


def test_numpy_reads_the_arrays():
    X, y = blobs(3)
    model = few(skode.ODENetClassifier).fit(X, y)
    arrays = np.load(io.BytesIO(saved(model).getvalue()), allow_pickle=False)
    assert_equal(arrays["K_"], model.K_)
    assert json.loads(arrays["metadata.json"])["class"] == "ODENetClassifier"


# --- continued training


@pytest.mark.parametrize("cls", BOTH + REGRESSORS)
@pytest.mark.parametrize("lift", ["pad", "nonlinear"])
def test_partial_fit_goes_on_as_if_nothing_had_happened(cls, lift):
    X, y = data_for(cls)
    more = {"classes": [0, 1, 2]} if cls in BOTH else {}
    model = short(cls, solver="adam", batch_size=20, n_restarts=2, lift=lift)
    model.partial_fit(X, y, **more).partial_fit(X[:40], y[:40])
    loaded = assert_same_model(model, X)
    for part in (model, loaded):
        part.partial_fit(X[30:], y[30:])
    assert_equal(loaded.K_, model.K_)
    assert_equal(loaded.loss_curve_, model.loss_curve_)
    assert_same_model(loaded, X)


@pytest.mark.parametrize("cls", BOTH + REGRESSORS)
def test_partial_fit_goes_on_after_fit_with_both_views(cls):
    X, y = data_for(cls)
    options = {"lift": "linear", "features": "both", "cv": 2, "alpha": (1e-3, 1e-2)}
    model = few(cls, solver="adam", **options).fit(X, y).set_params(alpha=1e-3).partial_fit(X, y)
    loaded = assert_same_model(model, X)
    for part in (model, loaded):
        part.partial_fit(X, y)
    assert_equal(loaded.V_, model.V_)


@pytest.mark.parametrize("cls", BOTH + REGRESSORS)
@pytest.mark.parametrize("lift", ["pad", "linear"])
def test_a_warm_start_goes_on_as_if_nothing_had_happened(cls, lift):
    X, y = data_for(cls)
    cv = KFold(3, shuffle=True, random_state=0)
    model = few(cls, lift=lift, cv=cv, warm_start=True, random_state=None).fit(X, y)
    loaded = assert_same_model(model, X)
    for part in (model, loaded):
        part.fit(X, y)  # the same splits, so there is no warning
    assert_equal(loaded.K_, model.K_)
    assert_equal(loaded.oof_score_, model.oof_score_)


def test_a_loaded_model_can_be_cloned_and_fitted():
    X, y = blobs(3)
    loaded = again(few(skode.ODENetClassifier, class_weight={0: 2.0, np.int64(1): 1}).fit(X, y))
    assert_equal(clone(loaded).fit(X, y).K_, loaded.K_)


# --- parameters

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.integers() | st.text() | st.booleans(), inner)
    ),
    max_leaves=10,
)


@given(VALUES)
def test_plain_values_come_back(value):
    assert_equal(decoded(json.loads(json.dumps(encoded(value), allow_nan=False))), value)


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1, np.nan], [-np.inf, -0.0]], dtype=np.float32),
        np.zeros((0, 3)),
        np.array([True, False]),
        np.arange(3, dtype=">u2"),
        np.array(["a", "ç"]),
        np.array([["2020-01-01", "NaT"]], dtype="datetime64[25s]"),
        np.array(5.0),
    ],
)
def test_arrays_among_parameters_come_back(array):
    found = decoded(json.loads(json.dumps(encoded(array), allow_nan=False)))
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.shape == array.shape


def test_numbers_that_json_has_not_are_refused():
    for value in (np.longdouble(0.1), np.array([1j]), np.array([None]), 1j, {1, 2}, b"bytes"):
        with pytest.raises(UnstorableError, match="plain data"):
            encoded([value])


def test_scalars_of_numpy_come_back_as_pythons():
    given = {np.float32(0.1): np.int64(3), np.str_("a"): np.bool_(True)}
    assert_equal(decoded(encoded(given)), {float(np.float32(0.1)): 3, "a": True})
    date = np.datetime64("2020-02-29")
    assert_equal(decoded(encoded({date: np.timedelta64(3, "D")})), {date: np.timedelta64(3, "D")})


@pytest.mark.parametrize("name", SPLITTERS)
def test_splitters_of_scikit_learn_come_back(name):
    arguments = {"LeavePGroupsOut": [2], "LeavePOut": [2], "PredefinedSplit": [[0, 1, -1]]}
    splitter = getattr(model_selection, name)(*arguments.get(name, []))
    found = decoded(json.loads(json.dumps(encoded(splitter))))
    assert type(found) is type(splitter)
    assert repr(found) == repr(splitter)


def test_all_splitters_of_scikit_learn_are_known():
    bases = (model_selection.BaseCrossValidator, model_selection.BaseShuffleSplit)
    splitters = {
        name
        for name, value in vars(model_selection).items()
        if isinstance(value, type) and (issubclass(value, bases) or name.startswith("Repeated"))
    }
    assert splitters - {"BaseCrossValidator", "BaseShuffleSplit"} == set(SPLITTERS)


def test_splits_as_arrays_come_back():
    X, y = blobs(3)
    splits = list(KFold(3).split(X))
    assert_same_model(few(skode.ODENetClassifier, cv=splits).fit(X, y), X)


def test_a_splitter_that_needs_groups_comes_back_with_the_model():
    X, y = curve()
    model = few(skode.ODENetRegressor, cv=GroupKFold(2)).fit(X, y, groups=np.arange(len(X)) // 3)
    assert_same_model(model, X)


class OwnSplits(TimeSeriesSplit):
    """A splitter that is not defined by parameters."""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cv", OwnSplits(2)),
        ("scoring", make_scorer(median_absolute_error, greater_is_better=False)),
        ("random_state", np.random.RandomState(0)),
    ],
)
def test_what_only_pickle_can_store_is_replaced_with_a_warning(name, value):
    X, y = curve()
    model = few(skode.ODENetRegressor, **{"cv": 2, name: value}).fit(X, y)
    with pytest.warns(UserWarning, match=rf"^{name}=.*model.set_params\({name}=\.\.\.\)") as caught:
        skode.save(model, file := io.BytesIO())
    assert caught[0].filename == __file__
    loaded = skode.load(file)
    assert getattr(model, name) is value
    default = skode.ODENetRegressor().get_params()[name]
    assert_equal(loaded.get_params(), {**model.get_params(), name: default})
    assert_equal(loaded.predict(X), model.predict(X))


def test_unknown_attributes_are_left_out_with_a_warning():
    X, y = blobs(3)
    model = few(skode.ODENetClassifier).fit(X, y)
    model.note, model.trained_by = "mine", "me"
    with pytest.warns(UserWarning, match="left out the attribute note, the attribute trained_by"):
        loaded = again(model)
    assert not hasattr(loaded, "note")


def test_metadata_requests_are_left_out_with_a_warning():
    X, y = blobs(3)
    with config_context(enable_metadata_routing=True):
        model = few(skode.ODENetClassifier).set_fit_request(sample_weight=True).fit(X, y)
    with pytest.warns(UserWarning, match="left out the requests of set_fit_request"):
        loaded = again(model)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.9"), reason="there are no callbacks"
)
def test_callbacks_are_left_out_with_a_warning():
    from sklearn.callback import ScoringMonitor

    X, y = blobs(3)
    monitor = ScoringMonitor(scoring="accuracy")
    model = few(skode.ODENetClassifier).set_callbacks(monitor).fit(X, y)
    with pytest.warns(UserWarning, match="left out the callbacks of set_callbacks"):
        loaded = again(model)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


# --- what cannot be saved


def test_other_objects_are_refused_with_a_remedy():
    X, y = blobs()
    model = few(skode.ODENetClassifier).fit(X, y)

    class Mine(skode.ODENetClassifier):
        pass

    search = GridSearchCV(few(skode.ODENetClassifier), {"N": [1]}, cv=2)
    for other in (
        make_pipeline(StandardScaler(), model),
        search,
        Mine().fit,
        Mine(),
        3,
        type(model),
    ):
        with pytest.raises(TypeError, match=r"skode\.save stores ODENetClass.*skops\.io\.dump"):
            skode.save(other, io.BytesIO())
    with pytest.raises(NotFittedError, match=r"skode\.save.*ODENetClassifier is not fitted.*fit"):
        skode.save(skode.ODENetClassifier(), io.BytesIO())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"K_": np.zeros((1, 3, 4, 5))}, "K_ has 5 channels, but other parts have 4"),
        ({"K_": np.full((1, 3, 4, 4), np.nan)}, "K_ is not finite"),
        ({"K_": np.zeros((1, 3, 4, 4), int)}, "K_ has the type int"),
        ({"mu_": np.zeros((1, 3, 1))}, "mu_ has 3 axes, not 2"),
        ({"b_": np.zeros((1, 3, 4), np.float32)}, "single and in double"),
        ({"nu_": np.zeros((1, 4))}, "only one of V_ and nu_"),
        ({"n_features_in_": 4}, "features"),
        ({"network_features_": ["other"]}, "names unknown views"),
        ({"network_weights_": np.array([2.0])}, "network_weights_"),
        ({"classes_": np.array([0, 1, 1])}, "equal"),
        ({"classes_": np.array([0.0, 1.0, np.nan])}, "NaN"),
        ({"classes_": np.array([0, 1, 2, 3])}, "classes_ has 4 outputs"),
        ({"stop_reason_": "converged"}, "stop_reason_ is not a list of text"),
    ],
)
def test_a_changed_model_is_not_saved(change, message, tmp_path):
    X, y = blobs(3)
    model = few(skode.ODENetClassifier).fit(X, y)
    vars(model).update(change)
    with pytest.raises(
        ValueError, match=rf"skode\.save .*ODENetClassifier.*{message}.*Fit it again"
    ):
        skode.save(model, tmp_path / "model.npz")
    assert not list(tmp_path.iterdir())


def test_parameters_that_are_not_allowed_are_not_saved():
    X, y = blobs()
    model = few(skode.ODENetClassifier).fit(X, y).set_params(N=0)
    with pytest.raises(ValueError, match="'N' parameter of ODENetClassifier"):
        saved(model)


def test_metadata_that_could_not_be_loaded_are_not_saved(monkeypatch):
    X, y = blobs()
    model = few(skode.ODENetClassifier).fit(X, y)
    monkeypatch.setattr("skode._saving.files.MOST_METADATA", 100)
    with pytest.raises(ValueError, match=r"skode\.save.*at most 100"):
        saved(model)


# --- files


@pytest.fixture
def model():
    X, y = blobs(3)
    return few(skode.ODENetClassifier).fit(X, y)


@pytest.mark.parametrize("kind", [str, Path, os.fsencode])
@pytest.mark.parametrize("name", ["model.npz", "model", "modèle.skode"])
def test_a_path_is_taken_as_it_is(model, kind, name, tmp_path):
    path = kind(tmp_path / name)
    skode.save(model, path)
    assert [part.name for part in tmp_path.iterdir()] == [name]
    assert_equal(skode.load(path).K_, model.K_)


def test_open_files_are_used_and_stay_open(model, tmp_path):
    with open(tmp_path / "model.npz", "w+b") as file:
        skode.save(model, file)
        assert_equal(skode.load(file).K_, model.K_)
        assert not file.closed


def test_a_stream_that_cannot_seek_is_written_to(model, tmp_path):
    script = "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, open(sys.argv[1], 'wb'))"
    command = [sys.executable, "-c", script, str(tmp_path / "model.npz")]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        skode.save(model, process.stdin)
        process.stdin.close()
        assert process.wait() == 0
    assert_equal(skode.load(tmp_path / "model.npz").K_, model.K_)


@pytest.mark.skipif(os.name != "posix", reason="permissions and links are those of POSIX")
def test_a_file_keeps_its_permissions_and_a_link_stays_a_link(model, tmp_path):
    path, link = tmp_path / "model.npz", tmp_path / "link.npz"
    os.umask(umask := os.umask(0))
    skode.save(model, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    path.chmod(0o640)
    link.symlink_to(path)
    skode.save(model, link)
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    skode.save(model, os.devnull)  # which cannot be replaced
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


class FullDiskError(OSError):
    pass


def test_a_file_is_replaced_once_the_new_one_is_complete(model, tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    skode.save(model, path)
    before = path.read_bytes()

    written, write_array = [], np.lib.format.write_array

    def fail(stream, array, **options):
        written.append(array)
        if len(written) > 5:
            raise FullDiskError
        write_array(stream, array, **options)

    monkeypatch.setattr("numpy.lib.format.write_array", fail)
    with pytest.raises(FullDiskError):
        skode.save(model, path)
    assert path.read_bytes() == before
    assert [part.name for part in tmp_path.iterdir()] == ["model.npz"]


def test_errors_of_the_file_system_pass_through(model, tmp_path):
    with pytest.raises(FileNotFoundError):
        skode.load(tmp_path / "model.npz")
    with pytest.raises(FileNotFoundError) as error:
        skode.save(model, tmp_path / "nowhere" / "model.npz")
    assert error.value.filename == str((tmp_path / "nowhere" / "model.npz").resolve())
    with pytest.raises(OSError, match=r"directory|denied") as error:
        skode.save(model, tmp_path)
    assert (error.value.filename, error.value.filename2) == (str(tmp_path.resolve()), None)
    with pytest.raises(OSError, match=r"directory|denied"):
        skode.load(tmp_path)
    assert not list(tmp_path.iterdir())
    for function in (partial(skode.save, model), skode.load):
        with pytest.raises(TypeError, match="PathLike"):
            function(3)


def test_loading_takes_about_as_much_memory_as_the_file_is_large(tmp_path):
    X, y = np.random.default_rng(0).normal(size=(20, 20_000)), np.arange(20) % 2
    model = few(skode.ODENetClassifier, lift="linear", n_channels=50).fit(X, y)
    skode.save(model, tmp_path / "model.npz")
    size = (tmp_path / "model.npz").stat().st_size
    tracemalloc.start()
    try:
        skode.load(tmp_path / "model.npz")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * size


# --- files of earlier formats

FORMATS = sorted(FOLDER.glob("format_*.zip"))


def test_there_are_files_of_every_format():
    assert [path.stem for path in FORMATS] == [f"format_{k}" for k in range(1, FORMAT + 1)]


@pytest.mark.parametrize("path", FORMATS, ids=lambda path: path.stem)
def test_models_that_were_saved_before_are_loaded_and_predict_the_same(path):
    with zipfile.ZipFile(path) as archive:
        names = {name.split(".")[0] for name in archive.namelist()}
        assert len(names) > 5
        for name in names:
            model = skode.load(io.BytesIO(archive.read(f"{name}.model.npz")))
            expected = np.load(io.BytesIO(archive.read(f"{name}.expected.npz")))
            X = expected["X"]
            if hasattr(model, "feature_names_in_"):
                X = pd.DataFrame(X, columns=model.feature_names_in_)
            found = prediction(model, X)
            assert found.dtype == expected["prediction"].dtype
            # Other processors round differently.
            tolerance = 1e-5 if model.K_.dtype == np.float32 else 1e-12
            np.testing.assert_allclose(found, expected["prediction"], rtol=tolerance)


def test_the_models_of_the_present_format_are_still_written_that_way():
    with zipfile.ZipFile(FORMATS[-1]) as archive:
        for name in archive.namelist():
            if name.endswith(".model.npz"):
                file = io.BytesIO(archive.read(name))
                metadata, arrays = read(file, lambda metadata: None)
                assert metadata["format_version"] == FORMAT
                now, now_arrays = read(saved(skode.load(file)), lambda metadata: None)
                assert_equal(now["values"], metadata["values"])
                assert_equal(now_arrays, arrays)
                assert now["parameters"].items() >= metadata["parameters"].items()
