"""Sums along the tree of units, wherever these are."""

from math import ceil

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skode.dask._placement import MANY, PER_WORKER, _runs, _subtrees, _unit_size, placement_for
from skode.dask._rows import DistributedRows
from skode.dask._store import Store
from skode.dask._tables import features
from skode.engine.blocks import Blocks, one_by_one, tree_sum
from skode.engine.kernels import Samples, Sums
from tests.engine.problems import problem_and_samples
