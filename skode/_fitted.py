"""The fitted model: its arrays, their device, and its predictions."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from ._devices import check_same_namespace, float_type, naming_the_class, where_computed
from ._documentation import PAGE_OF_ESTIMATOR
from ._gathering import n_threads_of_fit
from ._inputs import naming_the_remedy, precision
from ._pickling import Pickled
from ._sparse import rows_of
from .engine.arrays import array_library, contiguous, converted, namespace, to_host
from .engine.blocks import Blocks
from .engine.controls import Controls, refined
from .engine.elsewhere import Elsewhere
from .engine.losses import loss_named
from .engine.prediction import mean_outputs
from .engine.sparse_rows import SparseRows
from .engine.threads import Threads

# The floating-point types that every library supports.
EVERYWHERE = ("bool", "int8", "int16", "int32", "int64", "uint8", "float32", "float64")


class FittedNetworks(Pickled):
    """A batch of fitted networks, the members.

    A subclass defines the network by `_network`.
    """

    # The links from estimators and parameters in notebooks to the documentation.
    _doc_link_module = "skode"
    _doc_link_template = PAGE_OF_ESTIMATOR

    @property
    def _remedy(self):
        """What prepares tables with text, categories or missing values."""
        return f"skrub.tabular_pipeline({type(self).__name__}())"

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        tags.input_tags.sparse = True
        return tags

    @naming_the_class
    def to_host(self):
        """Move the fitted arrays to host memory, as NumPy arrays.

        The model can then be pickled, loaded and used on a machine without the array library or the
        device that it was fitted with.  If X was on the host, nothing has to be moved.

        Returns
        -------
        self : object
            The estimator.
        """
        for name, value in self._fitted_arrays():
            setattr(self, name, to_host(value))
        return self

    def _fitted_arrays(self):
        """Yield names and values of the fitted arrays that every library can hold.

        Others, such as arrays of strings, stay on the host.
        """
        parameters = self._get_param_names()
        for name, value in list(vars(self).items()):
            if name in parameters:
                continue
            of_numpy = isinstance(value, np.ndarray) and value.dtype in EVERYWHERE
            if of_numpy or array_library(value) is not None:
                yield name, value

    def _move_fitted(self, like):
        """Move the fitted arrays to the device of the features."""
        for name, value in self._fitted_arrays():
            setattr(self, name, converted(value, getattr(like, "like", like)))

    def _keep_controls(self, layout, flat, span):
        self._forget("V_", "nu_")
        self.n_outputs_ = layout.n_outputs
        for name, part in layout.views(flat)._asdict().items():
            if part is not None:
                part = span.restore(part) if name == "V" else part
                setattr(self, f"{name}_", contiguous(part))

    def _inputs_of(self, X):
        """Return the inputs for validated features, in some cases computed row by row."""
        row_by_row = isinstance(X, SparseRows | Elsewhere)
        return self.feature_map_.of(X) if row_by_row else self.feature_map_.transform(X)

    def _controls(self, members=slice(None)):
        """Return the fitted controls of some members."""
        parts = (getattr(self, f"{name}_", None) for name in Controls._fields)
        return Controls(*(part if part is None else part[members, ...] for part in parts))

    @property
    def n_networks_(self):
        """The number of networks in the average."""
        return self.K_.shape[0]

    @property
    def n_iter_(self):
        """The largest number of iterations of a network; with Adam, of epochs."""
        return int(to_host(self.network_n_iter_).max())

    @property
    def n_channels_(self):
        """The number of channels of every network."""
        return self.K_.shape[2]

    @property
    def features_(self):
        """What the networks see of the features: "given", "piecewise" or "both"."""
        views = list(self.feature_map_.views)
        return views[0] if len(views) == 1 else "both"

    def _fitted_network(self):
        return self._network(self._fitted_recipe)

    @property
    def _loss_of_fit(self):
        """The loss that the networks were fitted with."""
        return loss_named(**self._fitted_loss)

    def _forget(self, *names):
        """Remove attributes of an earlier fit."""
        for name in names:
            vars(self).pop(name, None)

    def _validated(self, X, method):
        """Validate X for prediction in the method of that name."""
        check_is_fitted(self)
        check_same_namespace(self, X, method)
        dtype = float_type(X, precision(self.K_))
        with naming_the_remedy(self):
            return rows_of(validate_data(self, X, dtype=dtype, reset=False, accept_sparse="csr"))

    def _outputs(self, X, method, refinement=1):
        """Return the mean prediction of the members for X, see `Loss.mean`.

        With a `refinement`, each step is split into this many shorter steps with the same controls.
        """
        X = self._validated(X, method)
        U = refined(self._controls(), refinement)
        inputs = self.feature_map_.of(where_computed(self, X))
        found = self._mean_outputs(U, inputs, self.network_weights_)
        return converted(found, getattr(X, "like", X))

    def _mean_outputs(self, U, inputs, weights=None):
        """Return the mean prediction of members with the controls U."""
        U = self._controls_like(inputs, U)
        xp, loss = namespace(U.K), self._loss_of_fit
        if weights is not None:
            weights = xp.astype(converted(weights, U.K), U.K.dtype)
        with self._blocks() as blocks:
            found = mean_outputs(self._fitted_network(), loss, U, inputs, blocks, weights)
        require_finite("The network's output", xp.isfinite(found[0, :]))
        return found

    def _controls_like(self, inputs, U=None):
        """Return controls, by default the fitted ones, on the device of the inputs."""
        like = getattr(inputs, "like", inputs)
        U = self._controls() if U is None else U
        return Controls(*(part if part is None else converted(part, like) for part in U))

    @contextmanager
    def _blocks(self):
        """Return blocks with `n_jobs` threads; by default, with as many as BLAS would use."""
        number = n_threads_of_fit(None if self.n_jobs is None else int(self.n_jobs))
        with Threads(number) as threads:
            yield Blocks(threads)


def require_finite(what, finite):
    """Raise unless `finite`, (n_samples,), is True for all samples."""
    xp, n_samples = namespace(finite), finite.shape[0]
    if n_unfit := n_samples - int(xp.sum(xp.astype(finite, xp.int64))):
        raise ValueError(
            f"{what} is not finite for {n_unfit} of {n_samples} samples: X is too far from the "
            "data that the model was fitted to. Scale it in the same way."
        )
