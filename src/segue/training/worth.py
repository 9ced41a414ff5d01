"""What each feature of the items is worth to a trained model: how far the validation metric falls without it.

The model is not trained again. So this says how much it leans on a feature, which another feature might
have told it as well, and not what leaving the feature out of training would cost.
"""

from __future__ import annotations

import torch

from segue.nn.sequence import SequenceModel
from segue.training.validation import Validation


def worth_of_features(model: SequenceModel, validation: Validation | None) -> list[float] | None:
    """For each feature of the tower the drop of the validation metric when all items have its mean vector.

    None without features or without a holdout to validate on.
    """
    if validation is None or not model.tower.sizes:
        return None
    training = model.training
    model.eval()
    whole = validation(model)
    with torch.inference_mode():
        drops = [whole - validation(model, model.tower.without(place)) for place in range(len(model.tower.sizes))]
    model.train(training)
    return drops
