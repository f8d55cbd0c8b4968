"""Training on blocks of samples that are read one after the other: `fit_blocks`."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from time import monotonic

import numpy as np
from sklearn.utils.multiclass import check_classification_targets, is_multilabel, unique_labels
from sklearn.utils.validation import (
    _num_samples,
    check_array,
    check_consistent_length,
    column_or_1d,
)

from ._devices import host_values, naming_the_class
from ._inputs import checked_weights, unchanged_on_error
from ._stream import only_with_adam
from ._targets import refuse_dates, require_counts
from ._verbose import audible, duration, logger
from .engine.arrays import quiet, to_host
from .engine.training import INTERRUPTED

END = object()  # what `next` returns after the last block
FORMS = "a pair (X, y) or a triple (X, y, sample_weight)"
# How blocks can be read again, for messages.
AGAIN = "Give a list, or a function without arguments that returns a new iterator"
# Private attributes of an earlier fit that training afresh must not find.
PRIVATE = ("_centre", "_fitted_scoring")


class Source:
    """Blocks that are read one after the other, in one pass or in several.

    Parameters
    ----------
    blocks : iterable or callable
        The argument of `fit_blocks`.

    Attributes
    ----------
    is_lasting : bool
        Whether there can be more than one pass.
    """

    def __init__(self, blocks):
        of_type = type(blocks)
        self._is_iterable = hasattr(of_type, "__iter__") or hasattr(of_type, "__getitem__")
        if not self._is_iterable and not callable(blocks):
            raise TypeError(
                f"blocks must be an iterable, each of whose items is {FORMS}, or a function "
                f"without arguments that returns one. Got an object of type {of_type.__name__}."
            )
        self._blocks, self._n_passes = blocks, 0
        self.is_lasting = not isinstance(blocks, Iterator)

    def read(self, use):
        """Call `use` with X, y and perhaps the weights of every block, until it returns True.

        Return the number of blocks.  No reference to a block is kept while the next one is read, so
        that only one of them is in memory.
        """
        iterator, number = self._new_iterator(), 0
        self._n_passes += 1
        while (block := next(iterator, END)) is not END:
            try:
                done = use(*_checked(block))
            except Exception as error:
                error.add_note(f"This happened at block {number} of blocks, counted from 0.")
                raise
            block, number = None, number + 1
            if done:
                break
        if not number and self._n_passes > 1:
            raise ValueError(
                "blocks held nothing when they were read again: they can be read only once. "
                f"{AGAIN}."
            )
        if not number:
            raise ValueError(f"blocks holds nothing. Each of its items must be {FORMS}.")
        return number

    def _new_iterator(self):
        if self._is_iterable:
            return iter(self._blocks)
        found = self._blocks()
        try:
            return iter(found)
        except TypeError:
            raise TypeError(
                "blocks was called and must have returned an iterator, but returned an object of "
                f"type {type(found).__name__}."
            ) from None


def _checked(block):
    """Return a block if it has the right form."""
    if not isinstance(block, tuple | list) or len(block) not in (2, 3):
        length = f" and length {len(block)}" if isinstance(block, tuple | list) else ""
        raise TypeError(
            f"Every item of blocks must be {FORMS}, but this one is of type {type(block).__name__}"
            f"{length}. Put a single block in a list: [(X, y)]."
        )
    X, y = block[:2]
    if y is None:
        raise ValueError("y is None, but training takes classes or targets.")
    if not _num_samples(X):
        raise ValueError("X has no rows. Leave such blocks out.")
    check_consistent_length(X, y)
    return block


def train_on(estimator, blocks, n_epochs, look_ahead, train):
    """Train an estimator on blocks, for a number of epochs.

    Parameters
    ----------
    estimator : estimator
    blocks, n_epochs
        The arguments of `fit_blocks`.
    look_ahead : callable
        It is given the `Source` before training starts afresh, if that can be read again.
    train : callable
        It trains on a block.
    """
    source = Source(blocks)
    if isinstance(n_epochs, bool) or not isinstance(n_epochs, Integral) or n_epochs < 1:
        raise ValueError(f"n_epochs must be a positive integer. Got {n_epochs!r}.")
    if n_epochs > 1 and not source.is_lasting:
        raise ValueError(
            f"blocks is an iterator, which can be read only once, but n_epochs={n_epochs}. {AGAIN}."
        )
    course = Epochs(estimator, n_epochs, train)
    with unchanged_on_error(estimator), audible(estimator.verbose):
        if not estimator._goes_on:
            public = [name for name in vars(estimator) if name[0] != "_" and name[-1] == "_"]
            estimator._forget(*public, *PRIVATE)
            if source.is_lasting:
                look_ahead(source)
        course.run(source)
    if course.interrupted:
        raise KeyboardInterrupt(
            "Training was interrupted. The estimator is fitted: it keeps the state after "
            f"{course.n_blocks} block(s)."
        )


class Epochs:
    """The epochs of `fit_blocks`."""

    def __init__(self, estimator, n_epochs, train):
        self._estimator, self._n_epochs, self._train = estimator, n_epochs, train
        self._began, self._epoch = monotonic(), 0
        self.n_blocks, self.interrupted = 0, False

    def run(self, source):
        """Train for all epochs.  Ctrl-C ends them, if at least one block has been trained on."""
        try:
            while self._epoch < self._n_epochs:
                self._epoch += 1
                source.read(self._one_block)
                if self._estimator.verbose == 1:
                    self._report()
        except KeyboardInterrupt:
            if not self.n_blocks:
                raise
            self.interrupted = True
            self._estimator.stop_reason_ = self._estimator.n_networks_ * [INTERRUPTED]

    def _one_block(self, X, y, sample_weight=None):
        self._train(X, y, sample_weight=sample_weight)
        self.n_blocks += 1
        if self._estimator.verbose > 1:
            self._report()

    def _report(self):
        logger.info(
            "%s epoch %d/%d, %d block(s) so far: objective %.4g, %s",
            type(self._estimator).__name__,
            self._epoch,
            self._n_epochs,
            self.n_blocks,
            to_host(self._estimator.loss_).mean(),
            duration(monotonic() - self._began),
        )


class ClassifierFromBlocks:
    """The part of a classifier that trains on blocks."""

    @only_with_adam
    @naming_the_class
    def fit_blocks(self, blocks, *, classes=None, n_epochs=1):
        """Fit the networks to data that is read block by block and need not fit into memory.

        Only available with ``solver="adam"``. Training starts afresh, or with ``warm_start=True``
        from the last fit. It then calls `partial_fit` with one block after the other, and what is
        said of `partial_fit` holds here too: nothing is held out, and the learning rate is
        constant. Training ends after `n_epochs` epochs; `max_iter`, `tol` and `max_time` have no
        effect.

        Parameters
        ----------
        blocks : iterable or callable
            Its items are pairs (X, y) or triples (X, y, sample_weight), with anything that
            `partial_fit` takes. They are read one after the other. Either an object that can be
            iterated again and again, such as a list; or a function without arguments that returns a
            new iterator, such as a generator function; or an iterator, which can be read only once.
        classes : array-like of shape (n_classes,), default=None
            All classes that can occur. If None, all blocks are read once before training to collect
            them, so an iterator needs `classes`. With several labels per sample it may be None in
            any case.
        n_epochs : int, default=1
            How often to read all blocks for training.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        AttributeError
            If the solver is not "adam".
        ValueError
            If `partial_fit` refuses a block, if there are no blocks, if blocks would have to be
            read again but cannot be, or if ``class_weight="balanced"``. The estimator is then left
            as it was, even if it has been trained on other blocks. A note on the exception tells
            at which block it happened.
        TypeError
            If `blocks` or one of its items is something else.
        KeyboardInterrupt
            After Ctrl-C. If training on one block had ended, the estimator is fitted nevertheless:
            it keeps the state after the last one. Otherwise it is left as it was.

        See Also
        --------
        partial_fit : Train on the samples of one block.

        Notes
        -----
        Samples are shuffled within a block, but not between blocks. Blocks of some thousand rows,
        with a mixture of all classes in each, work best. What depends on the data is decided by the
        first block: the number of channels with ``n_channels="auto"``, and the pieces with
        ``features="piecewise"``. Weights count within their block alone: if those of a block are
        twice as large, nothing changes.

        Every block is one iteration: `n_iter_` is the number of blocks, times `n_epochs`, and
        `loss_curve_` has the objective on every block after training on it. With ``verbose=1`` a
        message follows every epoch, with ``verbose=2`` every block.

        Examples
        --------
        >>> import numpy as np
        >>> from skode import ODENetClassifier
        >>> def blocks():
        ...     rng = np.random.default_rng(0)
        ...     for _ in range(10):
        ...         X = rng.normal(size=(1000, 2))
        ...         yield X, X[:, 0] * X[:, 1] > 0
        >>> model = ODENetClassifier(solver="adam", random_state=0)
        >>> model = model.fit_blocks(blocks, n_epochs=3)
        >>> model.n_iter_
        30
        >>> X_new = [[1, 1], [-1, 1]]
        >>> model.predict(X_new)
        array([ True, False])
        """
        self._validate_params()
        self._refuse_balanced_weights("fit_blocks")

        def look_ahead(source):
            nonlocal classes
            if classes is None:
                classes = _classes_of(source)

        def train(X, y, sample_weight):
            nonlocal classes
            if classes is None and not hasattr(self, "classes_") and not _has_columns(y):
                raise ValueError(
                    "classes must be given: all that will ever be seen. blocks is an iterator, "
                    f"which can be read only once, so they cannot be collected first. {AGAIN}, if "
                    "you do not know them."
                )
            self.partial_fit(X, y, classes, sample_weight)
            classes = None  # the later blocks need not check them again

        train_on(self, blocks, n_epochs, look_ahead, train)
        return self


def _has_columns(y):
    """Whether y has a column for each label."""
    with quiet():
        return is_multilabel(host_values(y))


def _classes_of(source):
    """Return all classes in the blocks, or None if samples have several labels."""
    classes = None

    def collect(X, y, sample_weight=None):
        nonlocal classes
        if classes is None and _has_columns(y):
            return True
        y = column_or_1d(host_values(y))
        check_classification_targets(y)
        known = [] if classes is None else [classes]
        classes = unique_labels(*known, y)
        return False

    source.read(collect)
    return classes


class RegressorFromBlocks:
    """The part of a regressor that trains on blocks."""

    @only_with_adam
    @naming_the_class
    def fit_blocks(self, blocks, *, n_epochs=1):
        """Fit the networks to data that is read block by block and need not fit into memory.

        Only available with ``solver="adam"``. Training starts afresh, or with ``warm_start=True``
        from the last fit. It then calls `partial_fit` with one block after the other, and what is
        said of `partial_fit` holds here too: nothing is held out, and the learning rate is
        constant. Training ends after `n_epochs` epochs; `max_iter`, `tol` and `max_time` have no
        effect.

        All blocks are read once before training to standardise the targets, unless `blocks` is an
        iterator. Then the first block decides, as in `partial_fit`; give it a mixture of all
        samples.

        Parameters
        ----------
        blocks : iterable or callable
            Its items are pairs (X, y) or triples (X, y, sample_weight), with anything that
            `partial_fit` takes. They are read one after the other. Either an object that can be
            iterated again and again, such as a list; or a function without arguments that returns a
            new iterator, such as a generator function; or an iterator, which can be read only once.
        n_epochs : int, default=1
            How often to read all blocks for training.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        AttributeError
            If the solver is not "adam".
        ValueError
            If `partial_fit` refuses a block, if there are no blocks, or if blocks would have to be
            read again but cannot be. The estimator is then left as it was, even if it has been
            trained on other blocks. A note on the exception tells at which block it happened.
        TypeError
            If `blocks` or one of its items is something else.
        KeyboardInterrupt
            After Ctrl-C. If training on one block had ended, the estimator is fitted nevertheless:
            it keeps the state after the last one. Otherwise it is left as it was.

        See Also
        --------
        partial_fit : Train on the samples of one block.

        Notes
        -----
        Samples are shuffled within a block, but not between blocks. Blocks of some thousand rows,
        with a mixture of all samples in each, work best. What depends on X is decided by the first
        block: the number of channels with ``n_channels="auto"``, and the pieces with
        ``features="piecewise"``. Weights count within their block alone: if those of a block are
        twice as large, nothing changes, except in the standardisation of the targets.

        With the squared error and the Poisson loss, targets are standardised exactly as in `fit`.
        With the other losses, this needs quantiles; those of 100 000 samples are used, drawn at
        random, if there are more.

        Every block is one iteration: `n_iter_` is the number of blocks, times `n_epochs`, and
        `loss_curve_` has the objective on every block after training on it. With ``verbose=1`` a
        message follows every epoch, with ``verbose=2`` every block.

        Examples
        --------
        >>> import numpy as np
        >>> from skode import ODENetRegressor
        >>> def blocks():
        ...     rng = np.random.default_rng(0)
        ...     for _ in range(10):
        ...         X = rng.normal(size=(1000, 2))
        ...         yield X, 100 * X[:, 0] * X[:, 1]
        >>> model = ODENetRegressor(solver="adam", random_state=0)
        >>> model = model.fit_blocks(blocks, n_epochs=3)
        >>> model.n_iter_
        30
        >>> X_new, y_new = next(blocks())
        >>> bool(model.score(X_new, y_new) > 0.9)
        True
        """
        self._validate_params()

        def look_ahead(source):
            summary = self._summary_of_targets()

            def add(X, y, sample_weight=None):
                refuse_dates(y, "y")
                y = check_array(host_values(y), ensure_2d=False, dtype=np.float64, input_name="y")
                if self.loss == "poisson":
                    require_counts(y, "y")
                summary.add(y, _weights_as_given(sample_weight, y))

            source.read(add)
            self._centre, self._scale = summary.units()

        train_on(self, blocks, n_epochs, look_ahead, self.partial_fit)
        return self


def _weights_as_given(sample_weight, y):
    """Return the weights of a block, checked but not scaled, so that blocks can be compared."""
    weights = checked_weights(sample_weight, y)
    if sample_weight is None:
        return weights
    if isinstance(sample_weight, Real):
        return weights * sample_weight
    return weights * np.max(host_values(sample_weight))
