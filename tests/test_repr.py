"""Estimators in notebooks, and names of public classes in messages."""

import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import sklearn
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr
from sklearn.utils.fixes import parse_version

import skode
from skode._documentation import ADDRESS
from skode.inspection import costates, input_gradients, step_doubling_gap, trajectories
from tests.estimators import BOTH, REGRESSORS, blobs, short

ALL = [*BOTH, *REGRESSORS]
HAS_TOOLTIPS = parse_version(sklearn.__version__) >= parse_version("1.8")


@pytest.mark.parametrize("cls", ALL)
def test_the_diagram_links_to_the_page_of_the_class(cls):
    page = f"{ADDRESS}/en/stable/api/generated/skode.{cls.__name__}.html"
    assert cls()._get_doc_link() == page
    for estimator in (cls(), make_pipeline(StandardScaler(), cls())):
        assert f'href="{page}"' in estimator_html_repr(estimator)


def test_the_address_is_that_of_the_project():
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    assert project["project"]["urls"]["Documentation"] == ADDRESS


def test_a_class_of_the_user_has_no_page_here():
    class Own(skode.ODENetClassifier):
        pass

    assert Own()._get_doc_link() == ""


@pytest.mark.skipif(not HAS_TOOLTIPS, reason="scikit-learn has tooltips since 1.8")
@pytest.mark.parametrize("cls", ALL)
def test_every_parameter_has_a_tooltip_and_a_link_to_its_entry(cls):
    shown = cls()._repr_html_()
    links = re.findall(r'<a class="param-doc-link".*?href="(.*?)">(.*?)</a>', shown, re.DOTALL)
    texts = {}
    for link, body in links:
        name = body.split()[0]
        texts[name] = re.sub("<.*?>", " ", body)
        fragment = unquote(link.split("#:~:text=")[1])
        assert fragment.startswith(f"{name},-")
        assert f"    {name} : {fragment.split(',-', 1)[1]}\n" in cls.__doc__
    assert texts.keys() == cls().get_params().keys()
    assert "Number of layers" in texts["N"]
    assert "default=200" in texts["max_iter"]


# --- arguments that do not fit

X, y = blobs(2)
MISFITS = [
    ("fit", (), {}, "missing a required argument: 'X'"),
    ("fit", (X,), {}, "missing a required argument: 'y'"),
    ("fit", (X, y), {"foo": 3}, "unexpected keyword argument 'foo'"),
    ("fit", (X, y, None, None), {}, "too many positional arguments"),
    ("predict", (), {}, "missing a required argument: 'X'"),
    ("predict", (X, y), {}, "too many positional arguments"),
    ("score", (X,), {}, "missing a required argument: 'y'"),
    ("transform", (X, y), {}, "too many positional arguments"),
    ("to_host", (X,), {}, "too many positional arguments"),
    ("partial_fit", (X,), {}, "missing a required argument: 'y'"),
]


@pytest.mark.parametrize(("method", "args", "kwargs", "message"), MISFITS)
@pytest.mark.parametrize("cls", ALL)
def test_errors_of_arguments_name_the_class_of_the_user(cls, method, args, kwargs, message):
    model = cls(solver="adam")
    with pytest.raises(TypeError) as caught:
        getattr(model, method)(*args, **kwargs)
    assert str(caught.value).startswith(f"{cls.__name__}.{method}(): ")
    assert message in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("cls", ALL)
def test_errors_of_the_constructor_name_the_class(cls):
    with pytest.raises(TypeError, match=rf"^{cls.__name__}\.__init__\(\) .* 'foo'"):
        cls(foo=1)
    with pytest.raises(TypeError, match=rf"^{cls.__name__}\.__init__\(\) takes from"):
        cls(1, 2, 3, 4, 5)


@pytest.mark.parametrize("cls", ALL)
def test_transform_without_samples_names_no_private_class(cls):
    with pytest.raises(TypeError, match=r"^transform\(\) missing"):
        cls().transform()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_arguments_may_be_given_by_name():
    weights = np.linspace(1, 2, len(y))
    one = short(skode.ODENetClassifier, max_iter=2).fit(X, y, weights)
    other = short(skode.ODENetClassifier, max_iter=2).fit(sample_weight=weights, y=y, X=X)
    np.testing.assert_array_equal(one.predict_proba(X=X), other.predict_proba(X))
    assert one.score(y=y, X=X) == one.score(X, y)


@pytest.mark.parametrize("function", [trajectories, step_doubling_gap, input_gradients])
@pytest.mark.parametrize("wrong", [5, StandardScaler(), make_pipeline(StandardScaler())])
def test_inspection_of_other_objects(function, wrong):
    with pytest.raises(TypeError, match="estimator must be one of skode, or a pipeline"):
        function(wrong, X)
    with pytest.raises(TypeError, match="estimator must be one of skode, or a pipeline"):
        costates(wrong, X, y)
