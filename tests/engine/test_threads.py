import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from skode.engine.blocks import Blocks
from skode.engine.networks import ode_net
from skode.engine.schemes import TABLEAUX
from skode.engine.threads import WAITING, Threads, blas_threads
from tests.engine.problems import objective_of, problem


def blas_numbers():
    return {
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    }


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("alone", [True, False])
def test_results_come_in_order_whichever_thread_is_first(number, alone):
    turns = [threading.Event() for _ in range(7)]

    def late(k):
        # With threads, every even item waits for the following odd one.
        if k % 2:
            turns[k].set()
        elif number > 1 and not alone and k + 1 < len(turns):
            assert turns[k + 1].wait(10)
        return k, threading.current_thread() is threading.main_thread()

    with Threads(number) as threads:
        found = list(threads.map(late, range(7), alone))
    assert [k for k, _ in found] == list(range(7))
    by_the_caller = {main for _, main in found}
    if number == 1 or alone:
        assert by_the_caller == {True}
    elif number == 2:  # the caller takes part, so both of two waiting items run
        assert by_the_caller == {True, False}


def test_few_results_wait_to_be_taken():
    started = []
    with Threads(2) as threads:
        results = threads.map(started.append, range(100))
        next(results)
        assert len(started) == 2 * WAITING
        results.close()
    assert len(started) == 2 * WAITING


@pytest.mark.parametrize("by_the_caller", [True, False])
def test_an_error_is_raised_whoever_meets_it_and_ends_the_work(by_the_caller):
    begun, met = [], threading.Event()

    def fail(k):
        begun.append(k)
        if (threading.current_thread() is threading.main_thread()) == by_the_caller:
            met.set()
            raise ValueError("it went wrong")
        assert met.wait(10)

    with Threads(2) as threads:
        with pytest.raises(ValueError, match="it went wrong"):
            list(threads.map(fail, range(2 * WAITING)))
        if by_the_caller:  # the calling thread then removes the other items
            assert len(begun) < 2 * WAITING
        assert list(threads.map(abs, range(3))) == [0, 1, 2]


def test_blas_has_one_thread_inside_and_as_many_as_before_outside():
    with threadpool_limits(2, user_api="blas"):
        before = blas_numbers()
        assert blas_threads() == max(before)
        with Threads(2):
            assert blas_numbers() == {1}
            assert blas_threads() == 1  # so that nested code uses one thread
        assert blas_numbers() == before


def test_overlapping_fits_leave_blas_as_it_was():
    with threadpool_limits(2, user_api="blas"):
        before = blas_numbers()
        one, other = Threads(1), Threads(1)
        one.__enter__()
        other.__enter__()
        one.__exit__()  # the first to enter is the first to exit
        assert blas_numbers() == {1}
        other.__exit__()
        assert blas_numbers() == before


def test_threads_end_with_the_statement():
    with Threads(2) as threads:
        list(threads.map(abs, range(4)))
        assert any(thread.name.startswith("skode") for thread in threading.enumerate())
    assert not any(thread.name.startswith("skode") for thread in threading.enumerate())


def test_what_overflows_in_a_thread_is_silent(monkeypatch):
    # Warnings are errors here, and each thread has separate warning filters.
    monkeypatch.setattr("skode.engine.blocks.LEAST_WORK", 0)
    layout, flat, X, *data = problem("softmax", "fixed")
    with Threads(2) as threads:
        network, blocks = ode_net(TABLEAUX["euler"], "softplus"), Blocks(threads, size=2)
        data = (1e300 * X, *data)
        objective = objective_of(network, layout, "softmax", data, blocks=blocks)
        assert not np.isfinite(objective.evaluate(1e10 * flat).J).any()
