"""Support for the callbacks of scikit-learn 1.9 and newer."""

from __future__ import annotations

import sklearn

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """The replacement for older versions."""

        def set_callbacks(self, *callbacks):
            """Raise an error that names the required version."""
            raise ImportError(
                f"{type(self).__name__}.set_callbacks needs scikit-learn 1.9 or newer, but "
                f"{sklearn.__version__} is installed. Update it with: pip install -U scikit-learn. "
                "With verbose=1, fit shows its progress in any version."
            )


class CallbackSupport(CallbackSupportMixin):
    """The part of an estimator that takes callbacks."""

    def set_callbacks(self, *callbacks):
        """Set callbacks, which follow `fit` and may end it.

        This needs scikit-learn 1.9 or newer. Callbacks are called by `fit`, not by `partial_fit`
        or `fit_blocks`.

        Parameters
        ----------
        *callbacks : callback instances
            For example `sklearn.callback.ProgressBar()` or
            ``sklearn.callback.ScoringMonitor(scoring="accuracy")``. They replace the ones that were
            set before. Without any, the estimator has no callbacks.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ImportError
            If scikit-learn is older than 1.9.
        TypeError
            If an argument is not a callback.

        Notes
        -----
        The tasks that are reported to callbacks form a tree:

        - "fit" is the root.
        - Below it is a task for each training. Networks that see the features as given and networks
          that see them in pieces are trained one after the other: "train, features given" and
          "train, features piecewise". If all networks see the same, there is only "train". If `cv`
          only chooses, and the networks are trained once more on all samples, that is "train, all
          samples".
        - Below a training are its iterations, at most `max_iter`; more if there are so many
          networks that they are trained in turns. With Adam, an iteration is an epoch.

        At the end of an iteration or training, `fitted_estimator` is the model that `fit` would
        return if training ended there: the best iterate of every network, and an average with the
        weights that the held-out samples give. It is computed only if a callback requests it, which
        takes one prediction for all held-out samples. During "train, all samples" it consists of
        the networks from before.

        A callback ends the whole of `fit` by returning True from `on_fit_task_end`. The best
        iterate of every network is then kept, and `stop_reason_` is "callback" for the networks
        that were still being trained. Networks that had not begun are left out, and the networks
        are not trained once more on all samples.

        In a search or a pipeline, set callbacks such as `ProgressBar`, which follow all nested
        estimators, on the outermost one, and others, such as `ScoringMonitor`, on this estimator.

        Examples
        --------
        >>> from sklearn.callback import ScoringMonitor
        >>> from sklearn.datasets import make_blobs
        >>> from skode import ODENetClassifier
        >>> X, y = make_blobs(100, random_state=0)
        >>> monitor = ScoringMonitor(scoring="accuracy")
        >>> model = ODENetClassifier(cv=3, random_state=0).set_callbacks(monitor).fit(X, y)
        >>> bool(monitor.get_logs().data[0]["accuracy"] > 0.8)
        True
        """
        return super().set_callbacks(*callbacks)


class Tasks:
    """The tasks of a fit that are reported to its callbacks: trainings and their iterations.

    Parameters
    ----------
    estimator : estimator
        An estimator with callbacks.
    X, y, sample_weight
        The arguments of its `fit`.
    """

    def __init__(self, estimator, X, y, sample_weight):
        self._estimator = estimator
        metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
        self._given = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}

    def begin(self, n_trainings):
        """Begin the fit."""
        context = self._estimator._init_callback_context(max_subtasks=n_trainings)
        self._fit = context.call_on_fit_task_begin(**self._given)

    def begin_training(self, name, n_iter):
        """Begin a training with at most this many iterations."""
        self._training, self._iteration = self._subtask(self._fit, name, n_iter), None

    def begin_iteration(self):
        """Begin an iteration unless one is already running."""
        if self._iteration is None:
            self._iteration = self._subtask(self._training, "iteration", 0)

    def end_iteration(self, model):
        """End the iteration; return whether a callback requests that training ends."""
        context, self._iteration = self._iteration, None
        return self._end(context, model)

    def end_training(self, model):
        """End the training; return whether a callback requests that the fit ends."""
        if self._iteration is not None:  # begun, but no member has passed the others
            self.end_iteration(model)
        return self._end(self._training, model)

    def end(self):
        """End the fit; the estimator is then the model."""
        self._end(self._fit, dict)

    def _subtask(self, context, name, number):
        context = context.subcontext(task_name=name, max_subtasks=number)
        return context.call_on_fit_task_begin(**self._given)

    def _end(self, context, model):
        """End a task; `model` computes the attributes of the model so far."""
        return context.call_on_fit_task_end(**self._given, reconstruction_attributes=model)
