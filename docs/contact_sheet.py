"""Draw every display and every figure of the examples on one sheet: docs/images/contact_sheet.png.

Each figure is there at its full size and, beside that, at half size in colour and in grey. So one
look shows whether it is legible in print and without colour.

    python docs/contact_sheet.py            # draw the displays again
    python docs/contact_sheet.py --check    # and fail if the sheet would be larger than 600 kB

The figures of the examples are the files in docs/images, which the examples have drawn.
"""

import argparse
import io
import warnings
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import ODENetClassifier, ODENetRegressor
from skode.datasets import make_donut1d, make_donut2d, make_spirals
from skode.plotting import (
    CandidatesDisplay,
    ControlsDisplay,
    LossCurveDisplay,
    StepSizeDisplay,
    TrajectoryDisplay,
)

IMAGES = Path(__file__).parent / "images"
SHEET = IMAGES / "contact_sheet.png"
DPI, COLUMNS, EDGE, LARGEST = 66, 2, 12, 600_000
PLANE = {"n_channels": 2, "activation": "tanh", "random_state": 0}


def fitted(model, data):
    """A model in a pipeline, fitted to data of scikit-learn or skode, and the data."""
    X, y = data
    return make_pipeline(StandardScaler(), model).fit(X, y), X, y


def displays():
    """The displays, each of a model that shows what it is for."""
    spirals = fitted(
        ODENetClassifier("heun", N=12, h=0.25, lift="pad", cv=None, smoothness=1e-3, **PLANE),
        make_spirals(300, random_state=0),
    )
    line = fitted(
        ODENetClassifier(N=8, h=0.3, lift="linear", **{**PLANE, "n_channels": 1}),
        make_donut1d(300, random_state=0),
    )
    simplex = fitted(
        ODENetClassifier(
            N=20,
            h=1 / 20,
            lift="pad",
            learn_step="simplex",
            alpha=0.0,
            solver="gd",
            cv=5,
            max_iter=1000,
            tol=0.0,
            **PLANE,
        ),
        make_donut2d(500, random_state=0),
    )
    wine = fitted(ODENetClassifier(random_state=0), load_wine(return_X_y=True))
    digits = fitted(ODENetClassifier(random_state=0), load_digits(return_X_y=True))
    cancer = fitted(ODENetClassifier(random_state=0), load_breast_cancer(return_X_y=True))
    deep = fitted(ODENetClassifier(N=40, h=0.05, random_state=0), load_wine(return_X_y=True))
    diabetes = fitted(ODENetRegressor(random_state=0), load_diabetes(return_X_y=True))
    for example in (spirals, line, cancer, wine, digits, diabetes):
        yield TrajectoryDisplay.from_estimator(*example)
    for model, *_ in (cancer, diabetes):
        yield LossCurveDisplay.from_estimator(model)
    yield CandidatesDisplay.from_estimator(cancer[0])
    yield StepSizeDisplay.from_estimator(simplex[0])
    for model, *_ in (spirals, wine, deep):
        yield ControlsDisplay.from_estimator(model)
    yield ControlsDisplay.from_estimator(spirals[0], kind="image")


def pictures():
    """All figures at full size."""
    for display in displays():
        buffer = io.BytesIO()
        display.figure_.savefig(buffer, dpi=DPI)
        plt.close(display.figure_)
        yield Image.open(buffer).convert("RGB")
    for path in sorted(IMAGES.glob("*.png")):
        if path != SHEET:
            picture = Image.open(path).convert("RGB")
            yield picture.reduce(2)


def strip(picture):
    """A figure with, to its right, itself at half size in colour and in grey."""
    half = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
    whole = Image.new("RGB", (picture.width + half.width + EDGE, 2 * half.height), "white")
    whole.paste(picture, (0, 0))
    whole.paste(half, (picture.width + EDGE, 0))
    whole.paste(half.convert("L"), (picture.width + EDGE, half.height))
    return whole


def sheet(strips):
    """The figures in columns, the next one always in the shorter column."""
    width = max(s.width for s in strips) + EDGE
    ends, places = [0] * COLUMNS, []
    for s in strips:
        column = ends.index(min(ends))
        places.append((column * width, ends[column]))
        ends[column] += s.height + EDGE
    whole = Image.new("RGB", (COLUMNS * width, max(ends)), "white")
    for s, place in zip(strips, places, strict=True):
        whole.paste(s, place)
    return whole


def main():
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail if the file is too large")
    check = parser.parse_args().check
    warnings.simplefilter("ignore", ConvergenceWarning)
    whole = sheet([strip(picture) for picture in pictures()])
    few = whole.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(SHEET, optimize=True)
    size = SHEET.stat().st_size
    print(f"{SHEET}: {whole.width} x {whole.height}, {size / 1000:.0f} kB")
    if check and size > LARGEST:
        raise SystemExit(f"The sheet is larger than {LARGEST / 1000:.0f} kB.")


if __name__ == "__main__":
    main()
