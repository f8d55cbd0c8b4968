"""Links to the documentation of other projects, made without the network.

Sphinx finds the pages of other projects in inventories, which it downloads.  A build must not
depend on that.  So the names that skode's documentation links to are listed here, and this module
writes the inventories.  Each name is imported first, and a misspelt one ends the build.
"""

import inspect
import zlib
from importlib import import_module
from typing import NamedTuple

GENERATED = "reference/generated/{name}.html"  # where NumPy and SciPy have most of their pages


class Project(NamedTuple):
    """Names by the page that has them; entries of the glossary; addresses of labels."""

    url: str
    pages: dict[str, str]
    terms: tuple[str, ...] = ()
    labels: dict[str, str] = {}


PROJECTS = {
    "python": Project(
        "https://docs.python.org/3/",
        {
            "library/constants.html": "False None True",
            "library/functions.html": "callable float int",
            "library/stdtypes.html": "dict list str tuple",
            "library/pickle.html": "pickle.dump pickle.dumps pickle.load pickle.loads",
            "library/logging.html": "logging.Logger logging.basicConfig logging.getLogger",
            "library/pathlib.html": "pathlib.Path",
        },
        ("generator", "iterable", "sequence"),
        {"bltin-boolean-values": "library/stdtypes.html#boolean-type-bool"},
    ),
    "numpy": Project(
        "https://numpy.org/doc/stable/",
        {
            GENERATED: "numpy.dtype numpy.float32 numpy.float64 numpy.load numpy.memmap"
            " numpy.ndarray numpy.savez",
            "reference/random/generator.html": "numpy.random.Generator",
            "reference/random/legacy.html": "numpy.random.RandomState",
        },
    ),
    "scipy": Project(
        "https://docs.scipy.org/doc/scipy/",
        {
            GENERATED: "scipy.integrate.solve_ivp scipy.optimize.minimize scipy.sparse.csc_array"
            " scipy.sparse.csr_array scipy.sparse.csr_matrix",
        },
    ),
    "sklearn": Project(
        "https://scikit-learn.org/stable/",
        {
            "modules/generated/{name}.html": """
                sklearn.base.BaseEstimator sklearn.base.ClassifierMixin sklearn.base.RegressorMixin
                sklearn.calibration.CalibratedClassifierCV sklearn.calibration.CalibrationDisplay
                sklearn.compose.ColumnTransformer sklearn.compose.TransformedTargetRegressor
                sklearn.config_context
                sklearn.ensemble.ExtraTreesClassifier sklearn.ensemble.ExtraTreesRegressor
                sklearn.ensemble.HistGradientBoostingClassifier
                sklearn.ensemble.HistGradientBoostingRegressor
                sklearn.ensemble.RandomForestClassifier sklearn.ensemble.RandomForestRegressor
                sklearn.exceptions.ConvergenceWarning sklearn.exceptions.InconsistentVersionWarning
                sklearn.exceptions.NotFittedError sklearn.impute.SimpleImputer
                sklearn.inspection.DecisionBoundaryDisplay
                sklearn.inspection.PartialDependenceDisplay
                sklearn.inspection.partial_dependence sklearn.inspection.permutation_importance
                sklearn.linear_model.LogisticRegression sklearn.linear_model.Ridge
                sklearn.model_selection.GridSearchCV sklearn.model_selection.GroupKFold
                sklearn.model_selection.KFold sklearn.model_selection.RandomizedSearchCV
                sklearn.model_selection.StratifiedKFold sklearn.model_selection.TimeSeriesSplit
                sklearn.model_selection.cross_val_predict sklearn.model_selection.cross_val_score
                sklearn.model_selection.train_test_split
                sklearn.neural_network.MLPClassifier sklearn.neural_network.MLPRegressor
                sklearn.pipeline.Pipeline sklearn.pipeline.make_pipeline
                sklearn.preprocessing.FunctionTransformer sklearn.preprocessing.OneHotEncoder
                sklearn.preprocessing.OrdinalEncoder sklearn.preprocessing.QuantileTransformer
                sklearn.preprocessing.RobustScaler sklearn.preprocessing.StandardScaler
                sklearn.set_config sklearn.svm.SVC sklearn.svm.SVR
            """,
        },
        ("array-like", "random_state"),
        {
            "accuracy_score": "modules/model_evaluation.html#accuracy-score",
            "df_output_transform": "modules/df_output_transform.html",
            "r2_score": "modules/model_evaluation.html#r2-score",
            "sphx_glr_auto_examples_miscellaneous_plot_set_output.py": (
                "auto_examples/miscellaneous/plot_set_output.html"
            ),
        },
    ),
    "matplotlib": Project(
        "https://matplotlib.org/stable/",
        {
            "api/_as_gen/{name}.html": "matplotlib.animation.FuncAnimation matplotlib.axes.Axes"
            " matplotlib.colors.Colormap matplotlib.figure.Figure matplotlib.pyplot.subplots",
            "api/collections_api.html": "matplotlib.collections.LineCollection"
            " matplotlib.collections.PathCollection",
            "api/colorbar_api.html": "matplotlib.colorbar.Colorbar",
            "api/contour_api.html": "matplotlib.contour.QuadContourSet",
        },
    ),
}


def role(name):
    """The kind of object that the full name stands for."""
    module, _, attribute = name.rpartition(".")
    thing = getattr(import_module(module or "builtins"), attribute)
    if inspect.isclass(thing):
        return "py:class"
    return "py:function" if callable(thing) else "py:data"


def entries(project):
    """The lines of an inventory."""
    for page, names in project.pages.items():
        for name in names.split():
            yield f"{name} {role(name)} 1 {page.format(name=name)}#$ -"
    for term in project.terms:
        yield f"{term} std:term -1 glossary.html#term-$ -"
    for label, address in project.labels.items():
        yield f"{label} std:label -1 {address} -"


def write(folder):
    """Write the inventories into `folder` and return Sphinx's `intersphinx_mapping` to them."""
    folder.mkdir(exist_ok=True)
    mapping = {}
    for name, project in PROJECTS.items():
        file = folder / f"{name}.inv"
        header = (
            f"# Sphinx inventory version 2\n# Project: {name}\n# Version: \n"
            "# The remainder of this file is compressed using zlib.\n"
        )
        body = "".join(f"{line}\n" for line in entries(project))
        file.write_bytes(header.encode() + zlib.compress(body.encode()))
        mapping[name] = (project.url, str(file))
    return mapping
