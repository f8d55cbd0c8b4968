"""How classifiers stand up to changes of the features: attacks, and certificates with proof."""

from ._art import art_classifier
from ._attacks import adversarial_examples, robust_accuracy
from ._certified import certified_accuracy, certified_radius
from ._display import RobustnessDisplay
from ._lipschitz import lipschitz_bound

__all__ = [
    "RobustnessDisplay",
    "adversarial_examples",
    "art_classifier",
    "certified_accuracy",
    "certified_radius",
    "lipschitz_bound",
    "robust_accuracy",
]
