"""How sensitive fitted models are to changes of the features, with proof."""

from ._certified import certified_accuracy, certified_radius
from ._lipschitz import lipschitz_bound

__all__ = ["certified_accuracy", "certified_radius", "lipschitz_bound"]
