"""Files that are damaged, hostile or newer give clear errors, and nothing in them is executed."""

import io
import json
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import skode
from skode._saving.files import METADATA, read
from skode._saving.models import FORMAT
from tests.estimators import blobs, curve, short

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def models():
    X, y = blobs(3)
    options = {"max_iter": 2, "lift": "linear", "features": "both", "n_channels": 2}
    model = short(
        skode.ODENetClassifier, solver="adam", cv=2, alpha=(1e-3, 1e-2), scheme="heun", **options
    ).fit(X, np.array(["a", "b", "c"], dtype=object)[y])
    yield "classifier", model.set_params(alpha=1e-3).partial_fit(X, model.classes_[y]), X
    X, y = curve(n_targets=2)
    yield "regressor", short(skode.FeedForwardRegressor, max_iter=2, loss="huber").fit(X, y), X


@pytest.fixture(scope="module")
def saved():
    """By name: the bytes of a file, samples, and predictions for them."""
    found = {}
    for name, model, X in models():
        file = io.BytesIO()
        skode.save(model, file)
        found[name] = file.getvalue(), X, model.predict(X)
    return found


BOTH = pytest.mark.parametrize("name", ["classifier", "regressor"])


def entries(data):
    """Return the contents of the entries, by their names."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archived(contents, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file.getvalue()


def array(value, **options):
    file = io.BytesIO()
    np.save(file, value, **options)
    return file.getvalue()


def header(descr, shape, order="False"):
    """Return the header of an array with any contents, without the entries."""
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def with_metadata(data, change):
    contents = entries(data)
    metadata = json.loads(contents[METADATA])
    change(metadata)
    return archived({**contents, METADATA: json.dumps(metadata)})


def refused(data, message=""):
    with pytest.raises(ValueError, match=rf"(?s)^skode\.load cannot read .*{message}"):
        skode.load(io.BytesIO(data))


def loaded(data):
    """Return the model in a file, or None if loading raises a ValueError."""
    try:
        return skode.load(io.BytesIO(data))
    except ValueError as error:
        message = str(error)
    assert message.startswith("skode.load cannot read the file: ")
    return None


def is_refused_or_the_same(data, X, expected):
    """Whether a file is refused; otherwise the model has the right predictions."""
    model = loaded(data)
    if model is not None:
        np.testing.assert_array_equal(model.predict(X), expected)
    return model is None


# --- damage


@BOTH
def test_a_byte_that_is_changed_is_found_or_changes_nothing(saved, name):
    data, *right = saved[name]
    n_refused = 0
    rng = np.random.default_rng(0)
    places = range(0, len(data), 7)  # headers of entries are in all parts
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= rng.integers(1, 256)
        n_refused += is_refused_or_the_same(bytes(damaged), *right)
    assert n_refused > 0.5 * len(places)


@BOTH
def test_every_byte_of_the_directory_and_of_headers_may_be_changed(saved, name):
    data, *right = saved[name]
    start = data.index(b"PK\x01\x02")  # of the directory
    first = data[:start].index(b"PK\x03\x04", 10)
    for place in [*range(first), *range(start, start + 200), *range(len(data) - 22, len(data))]:
        for value in (0x00, 0x01, 0x7F, 0xFF):
            damaged = bytearray(data)
            damaged[place] = value
            is_refused_or_the_same(bytes(damaged), *right)


@BOTH
def test_a_file_that_is_cut_off_or_has_a_gap_is_refused(saved, name):
    data, *right = saved[name]
    for end in {*range(0, len(data), 61), *range(len(data) - 40, len(data))}:
        refused(data[:end])
    for start in range(0, len(data), 61):
        assert is_refused_or_the_same(data[start:], *right) or start == 0
        is_refused_or_the_same(data[:start] + data[start + 10 :], *right)
        is_refused_or_the_same(data[:start] + b"\0" * 10 + data[start:], *right)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data):
    refused(data)
    refused(b"PK\x05\x06" + data)


@settings(max_examples=200)
@given(st.data())
def test_parts_of_files_may_be_anything(saved, data):
    """Replace values in JSON at any position."""
    content, X, _ = saved[data.draw(st.sampled_from(sorted(saved)))]
    contents = entries(content)
    metadata = json.loads(contents[METADATA])
    place = metadata
    while True:
        key = data.draw(
            st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place)))
        )
        inside = place[key]
        if not (isinstance(inside, dict | list) and inside) or data.draw(st.booleans()):
            break
        place = inside
    plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    tagged = st.dictionaries(
        st.sampled_from(["array", "dict", "float", "splitter", "tableau", "tuple", "x"]),
        st.lists(plain | st.lists(plain)) | plain,
        max_size=2,
    )
    place[key] = data.draw(plain | st.lists(plain) | tagged | st.just(10**400))
    changed = archived({**contents, METADATA: json.dumps(metadata).replace("Infinity", "1e999")})
    model = loaded(changed)
    assert model is None or len(model.predict(X)) == len(X)


@pytest.mark.parametrize("name", ["classifier", "regressor"])
def test_arrays_of_other_shapes_and_types_are_refused_or_do_not_matter(saved, name):
    data, X, _ = saved[name]
    contents = entries(data)
    for entry in contents:
        if entry == METADATA:
            continue
        value = np.load(io.BytesIO(contents[entry]))
        others = [
            value[..., None],
            value[None],
            np.concatenate([np.atleast_1d(value)] * 2),
            np.atleast_1d(value)[:0],
            np.atleast_1d(value)[..., :-1],
            np.atleast_1d(value)[0],
            np.full(value.shape, "text"),
            np.zeros(value.shape, complex),
            np.zeros(value.shape, [("a", float)]),
        ]
        if value.dtype.kind == "f":
            others += [np.full_like(value, np.nan), np.full_like(value, np.inf), -value]
            others += [np.ones(value.shape, int), np.ones(value.shape, np.float16)]
            others += [value.astype(np.float32), value.astype(np.longdouble)]
        for other in others:
            changed = archived({**contents, entry: array(other)})
            model = loaded(changed)
            assert model is None or len(model.predict(X)) == len(X)


@BOTH
def test_every_array_that_is_always_there_is_needed(saved, name):
    data, *_ = saved[name]
    contents = entries(data)
    for entry in contents:
        rest = {other: content for other, content in contents.items() if other != entry}
        if entry == METADATA:
            refused(archived(rest), "metadata.json")
        elif entry not in ("oof_decision_function_.npy", "oof_prediction_.npy"):
            refused(archived(rest))
    metadata = json.loads(contents[METADATA])
    optional = {"batch_size_", "n_iter_no_change_", "n_splits_", "oof_score_", "solver_"}
    for value in metadata["values"].keys() - optional - {"_fingerprint", "_fitted_scoring"}:
        refused(with_metadata(data, lambda metadata, value=value: metadata["values"].pop(value)))


def test_what_held_out_samples_said_is_there_as_a_whole_or_not_at_all():
    X, y = curve()
    file = io.BytesIO()
    skode.save(short(skode.ODENetRegressor, max_iter=2, cv=2).fit(X, y), file)
    data = file.getvalue()
    refused(with_metadata(data, lambda metadata: metadata["values"].pop("_fitted_scoring")))
    for name in ("candidates_.weight.npy", "validation_curve_.npy"):
        rest = {entry: content for entry, content in entries(data).items() if entry != name}
        refused(archived(rest), "a part of candidates_ is missing")


@BOTH
def test_parameters_that_are_missing_are_at_their_defaults(saved, name):
    data, X, expected = saved[name]
    model = skode.load(
        io.BytesIO(with_metadata(data, lambda metadata: metadata["parameters"].clear()))
    )
    assert model.get_params() == type(model)().get_params()
    np.testing.assert_array_equal(model.predict(X), expected)


# --- other formats and classes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": FORMAT + 1, "skode_version": "9.1"}, "skode 9.1 .*Install a newer"),
        ({"format_version": FORMAT + 1, "new": 1}, "Install a newer"),
        ({"format_version": 0}, "record the version"),
        ({"format_version": True}, "record the version"),
        ({"format": "other"}, "not written by skode.save"),
        ({"class": "Pipeline"}, "no estimator 'Pipeline'"),
        ({"class": "os.system"}, "no estimator"),
        ({"class": ["ODENetClassifier"]}, "no estimator"),
        ({"class": "ODENetRegressor"}, "ODENetRegressor has no"),
        ({"class": "FeedForwardClassifier"}, "FeedForwardClassifier has no parameters damping"),
        ({"extra": 1}, "not those of format 1: extra"),
        ({"parameters": []}, "parameters"),
        ({"values": None}, "values"),
        ({"parameters": {"N": -1}}, "'N' parameter of ODENetClassifier"),
        ({"parameters": {"dtype": 1}}, "no parameters dtype"),
        ({"parameters": {"cv": {"splitter": ["system", {"dict": []}]}}}, "unknown splitter"),
        ({"parameters": {"cv": {"splitter": ["KFold", {"dict": [["x", 1]]}]}}}, "kind 'splitter'"),
        ({"parameters": {"cv": {"object": "os.system"}}}, "unknown kind of value: 'object'"),
        ({"parameters": {"scheme": {"tableau": [[[1]], [1], [2], "x"]}}}, "sum of row"),
        ({"parameters": {"alpha": {"array": ["O", [1], [1]]}}}, "unknown type 'O'"),
        ({"parameters": {"alpha": {"array": ["f8", [2], [1]]}}}, "reshape"),
        ({"parameters": {"alpha": {"array": ["str", [1], [1]]}}}, "not all of its entries are te"),
        ({"parameters": {"h": {"float": "1_0"}}}, "neither NaN nor infinite"),
    ],
)
def test_what_this_version_does_not_know_is_named(saved, change, message):
    data, *_ = saved["classifier"]
    refused(with_metadata(data, lambda metadata: metadata.update(change)), message)


@pytest.mark.parametrize(
    "constraint",
    [["name", "cube"], ["name", ["sphere"]], ["norm", 0.0], ["norm", 1], ["norm", None], ["x", 1]],
)
def test_constraints_that_there_are_not_are_refused(saved, constraint):
    data, *_ = saved["classifier"]

    def change(metadata):
        metadata["values"]["_fitted_constraint"]["dict"].append(constraint)

    refused(with_metadata(data, change), "constraint")


@pytest.mark.parametrize(
    "views",
    [[["given", 3]], [["given", 0]], [["other", 3]], [[]], [1], [[[], 1]], [["given", True]]],
)
def test_views_that_are_not_those_of_the_feature_map_are_refused(saved, views):
    data, *_ = saved["classifier"]

    def change(metadata):
        metadata["values"]["feature_map_.views"] = views

    refused(with_metadata(data, change), "feature")


def test_a_newer_format_may_have_any_entries(saved):
    data, *_ = saved["classifier"]
    newer = with_metadata(data, lambda metadata: metadata.update(format_version=FORMAT + 1))
    contents = {**entries(newer), "K_.npy": b"something new", "new": b"another"}
    refused(archived(contents), "Install a newer skode")


# --- hostile files


class Bomb:
    """An object that reports when it is executed."""

    def __reduce__(self):
        return pytest.fail, ("executed",)


def test_nothing_is_unpickled(saved):
    data, *_ = saved["classifier"]
    contents = entries(data)
    bomb = array(np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(pytest.fail.Exception, match="executed"):
        np.load(io.BytesIO(bomb), allow_pickle=True)
    refused(archived({**contents, "K_.npy": bomb}), "K_.npy' is not an array")
    refused(archived({**contents, "other.npy": bomb}), "other.npy' is not an array")
    refused(archived({**contents, METADATA: pickle.dumps(Bomb())}))
    refused(pickle.dumps(Bomb()))
    refused(bomb)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"format": "skode", "format": "skode"}',
        '{"format": NaN}',
        "9" * 10_000,
        "[]",
        "null",
        '"\\ud800"',
        b"\xff\xfe",
        b"",
    ],
)
def test_metadata_that_are_not_those_of_a_model_are_refused(saved, text):
    data, *_ = saved["classifier"]
    refused(archived({**entries(data), METADATA: text}))


def test_values_that_are_nested_deeply_are_refused(saved):
    data, *_ = saved["classifier"]
    nested = []
    for _ in range(900):
        nested = [nested]
    refused(with_metadata(data, lambda metadata: metadata["parameters"].update(alpha=nested)))


@pytest.mark.parametrize(
    "content",
    [
        header("'<f8'", (10**12,)),
        header("'<f8'", (2**62, 4)),
        header("'<f8'", "(0, 99999999999999999999999999)"),
        header("'<f8'", "(-1,)"),
        header("'<f8'", "(3)") + b"\0" * 24,
        header("'<f8'", "(3,)") + b"\0" * 23,
        header("'<f8'", "(3,)") + b"\0" * 25,
        header("'<U0'", "(1000000000,)"),
        header("'<U999999999'", "()"),
        header("'|O'", "(1,)") + b"\0" * 8,
        header("'|V8'", "(1,)") + b"\0" * 8,
        header("'<f7'", "(1,)") + b"\0" * 7,
        header("'<M8[x]'", "(1,)") + b"\0" * 8,
        header("[('a', '<f8')]", "(1,)") + b"\0" * 8,
        header("__import__('os').abort()", "(1,)"),
        header("'<f8'", "(3L,)") + b"\0" * 24,
        header("'<f8'", "(3,)", "(" * 10_000),
        b"\x93NUMPY\x02\x00" + b"\0" * 100,
        b"\x93NUMPY",
        b"",
    ],
)
def test_headers_of_arrays_that_lie_are_refused_without_memory(saved, content):
    data, *_ = saved["classifier"]
    contents = entries(data)
    tracemalloc.start()
    try:
        refused(archived({**contents, "K_.npy": content}), "K_.npy'")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10**6


def test_entries_that_are_compressed_are_refused_so_that_none_is_a_bomb(saved):
    data, *_ = saved["classifier"]
    bomb = {**entries(data), "K_.npy": array(np.zeros(10**6))}
    for compression in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        refused(archived(bomb, compression), "compressed")
    with pytest.raises(ValueError, match="K_"):
        skode.load(io.BytesIO(archived(bomb)))


def test_entries_that_overlap_are_refused():
    """Many entries of the directory share one large part of the file."""
    content = array(np.zeros(10**5))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(METADATA, "{}")
        archive.writestr("aaaa.npy", content)
        (entry,) = (part for part in archive.filelist if part.filename == "aaaa.npy")
        for k in range(9):
            other = zipfile.ZipInfo(f"aaa{k}.npy")
            other.file_size = other.compress_size = entry.file_size
            other.CRC, other.header_offset = entry.CRC, entry.header_offset
            archive.filelist.append(other)
    with pytest.raises(ValueError, match="overlap"):
        read(file, lambda metadata: None)


def test_a_file_with_huge_metadata_is_refused(saved, monkeypatch):
    data, *_ = saved["classifier"]
    monkeypatch.setattr("skode._saving.files.MOST_METADATA", 100)
    refused(data, "more than 100")


@pytest.mark.parametrize(
    "name", ["../../K_.npy", "/etc/passwd", "C:\\K_.npy", "K_", "K_.npy.npy", "__class__.npy"]
)
def test_entries_with_other_names_are_refused(saved, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, *_ = saved["classifier"]
    refused(archived({**entries(data), name: array(np.zeros(1))}), "no|unknown entries")
    assert not list(tmp_path.iterdir())


def test_two_entries_of_one_name_are_refused(saved):
    data, *_ = saved["classifier"]
    file = io.BytesIO(data)
    with (
        zipfile.ZipFile(file, "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr("K_.npy", array(np.zeros(1)))
    refused(file.getvalue(), "two entries 'K_.npy'")


def test_archives_and_text_of_others_are_refused():
    other = io.BytesIO()
    np.savez(other, K_=np.zeros(3))
    refused(other.getvalue(), "skode.save has not written it")
    with pytest.raises(ValueError, match=r"skode\.load cannot read"):
        skode.load(io.StringIO("text"))


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "model.npz"
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"skode\.load cannot read .*model\.npz: it is damaged"):
        skode.load(path)
