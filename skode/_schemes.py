"""The public functions for named schemes."""

from __future__ import annotations

from .engine.partitioned import PARTITIONED, PartitionedTableau
from .engine.schemes import TABLEAUX, as_tableau
from .engine.tableaux import ButcherTableau


def list_schemes() -> list[str]:
    """List the names of the Runge-Kutta schemes that `scheme` accepts.

    Returns
    -------
    list of str
        The names, sorted.

    See Also
    --------
    skode.get_scheme : The coefficients and properties of a scheme.

    Examples
    --------
    >>> import skode
    >>> skode.list_schemes()[:4]
    ['euler', 'gauss4', 'gauss6', 'heun']

    The implicit schemes that damp every decaying mode, whatever the step:

    >>> [name for name in skode.list_schemes() if skode.get_scheme(name).a_stable][:3]
    ['gauss4', 'gauss6', 'implicit_euler']
    """
    return sorted(TABLEAUX | PARTITIONED)


def get_scheme(scheme) -> ButcherTableau | PartitionedTableau:
    """Return the Butcher tableau of a Runge-Kutta scheme.

    Parameters
    ----------
    scheme : str, ButcherTableau or tuple (A, b) or (A, b, c)
        A name out of `list_schemes`, or whatever else the parameter `scheme` accepts.

    Returns
    -------
    ButcherTableau or PartitionedTableau
        The coefficients of a `ButcherTableau` are `A`, `b` and `c`; among its properties are
        `n_stages`, `order`, `explicit`, `a_stable` and `symplectic`. "symplectic_euler" and
        "stormer_verlet" are pairs of tableaux, `first` and `second`, one for each half of the
        channels. ``print`` draws a scheme.

    Raises
    ------
    ValueError
        If there is no scheme of this name, or if the coefficients are inconsistent.

    See Also
    --------
    skode.list_schemes : The names of all schemes.

    Examples
    --------
    >>> import skode
    >>> heun = skode.get_scheme("heun")
    >>> heun.order, heun.n_stages, heun.explicit
    (2, 2, True)
    >>> print(heun)
    heun: 2 stages, order 2, explicit
    0 |
    1 |   1
    --+---------
      | 1/2  1/2
    """
    return as_tableau(scheme)
