"""The picture of the accuracy that attacks leave."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from skode.robustness import RobustnessDisplay, certified_accuracy, robust_accuracy

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def curves(**parameters):
    eps = np.array([0.0, 0.1, 0.2])
    options = {
        "eps": eps,
        "clean": np.array([0.9, 0.8]),
        "attacked": {"pgd": np.array([[0.9, 0.6, 0.3], [0.8, 0.7, 0.5]])},
        "names": ["one", "two"],
    }
    return RobustnessDisplay(**{**options, **parameters})


def test_the_display_draws_what_it_is_given():
    certified = np.array([[0.9, 0.2, 0.0], [0.8, 0.1, 0.0]])
    display = curves(certified=certified, norm=2).plot(name="title")
    for k in range(2):
        attacked = display.attacked_lines_["pgd"][k]
        np.testing.assert_array_equal(attacked.get_ydata(), display.attacked["pgd"][k])
        np.testing.assert_array_equal(display.certified_lines_[k].get_ydata(), certified[k])
        assert display.clean_lines_[k].get_ydata()[0] == display.clean[k]
        assert attacked.get_color() is not None
    assert len(display.bands_) == 2
    assert display.ax_.get_xlabel() == "radius ε (2-norm)"
    texts = [text.get_text().replace("\n", " ") for text in display.legend_.get_texts()]
    assert texts[:3] == ["one", "two", "without attack"]
    assert "under attack: PGD" in texts
    assert "certified" in texts
    display.figure_.canvas.draw()
    box = display.legend_.get_window_extent()
    assert box.x0 >= display.ax_.get_window_extent().x1  # it covers nothing


def test_keywords_reach_the_artists_and_axes_are_kept():
    _, ax = plt.subplots()
    display = curves(certified=np.zeros((2, 3))).plot(
        ax=ax,
        legend=False,
        cmap="tab10",
        line_kw={"lw": 5},
        certified_kw={"ls": "-"},
        clean_kw={"alpha": 0.5},
        fill_between_kw={"alpha": 0.4},
    )
    assert display.ax_ is ax
    assert display.legend_ is None
    assert display.attacked_lines_["pgd"][0].get_linewidth() == 5
    assert display.certified_lines_[0].get_linestyle() == "-"
    assert display.clean_lines_[0].get_alpha() == 0.5
    assert display.bands_[0].get_alpha() == 0.4


def test_the_display_from_estimators(plane):
    model, X, y = plane
    eps = [0.4, 0.0, 0.2]
    options = {"attacks": "grid", "n_points": 9}
    one = RobustnessDisplay.from_estimator(model, X, y, eps=eps, **options)
    np.testing.assert_array_equal(one.eps, [0.0, 0.2, 0.4])
    expected = robust_accuracy(model, X, y, one.eps, attack="grid", n_points=9)
    np.testing.assert_array_equal(one.attacked["grid"], [expected])
    assert one.clean == [model.score(X, y)]
    assert one.bands_ == one.certified_lines_ == []
    two = RobustnessDisplay.from_estimator([model, model], X, y, eps=eps, **options)
    assert two.names == ["ODENetClassifier 1", "ODENetClassifier 2"]


def test_certified_and_attacked_curves_bound_each_other(plane):
    model, X, y = plane
    display = RobustnessDisplay.from_estimator(
        {"net": model},
        X,
        y,
        eps=[0.0, 0.05, 0.1],
        attacks="grid",
        n_points=9,
        certified=True,
        norm=2,
    )
    assert display.names == ["net"]
    np.testing.assert_array_equal(
        display.certified[0], certified_accuracy(model, X, y, display.eps, norm=2)
    )
    assert display.certified[0, 0] == display.clean[0]
    assert (display.certified <= display.attacked["grid"]).all()
    assert len(display.bands_) == 1
    alone = RobustnessDisplay.from_estimator(
        model, X, y, eps=[0.0, 0.1], attacks=None, certified=True, norm=2
    )
    assert alone.attacked == {}
    assert alone.bands_ == []
    assert len(alone.certified_lines_) == 1


def test_errors_of_the_display(plane):
    model, X, y = plane
    draw = RobustnessDisplay.from_estimator
    with pytest.raises(ValueError, match="eps must be a sequence"):
        draw(model, X, y, eps=0.1, attacks="grid")
    with pytest.raises(ValueError, match="nothing to draw"):
        draw(model, X, y, eps=[0.1], attacks=None)
    with pytest.raises(ValueError, match="no estimator"):
        draw([], X, y, eps=[0.1], attacks="grid")
    for bad in ("grids", ["grids"], 5):
        with pytest.raises(ValueError, match="attack must be one of"):
            draw(model, X, y, eps=[0.1], attacks=bad)


def test_attacks_of_one_name_are_numbered(plane):
    model, X, y = plane
    attacks = [lambda model, X, y, eps: X, lambda model, X, y, eps: X + eps]
    display = RobustnessDisplay.from_estimator(model, X, y, eps=[0.4], attacks=attacks)
    assert [*display.attacked] == ["<lambda> 1", "<lambda> 2"]
    assert display.attacked["<lambda> 1"] > display.attacked["<lambda> 2"]
