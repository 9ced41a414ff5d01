"""Which events of a log a model learns to tell, and how much each counts, by their kind of action.

All kinds stay inputs. How the weights enter the loss is left to ``nn.losses``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segue.data.histories import Histories
from segue.errors import ActionUnknown, NothingToLearn, nearest
from segue.training.plan import SequenceConfig


def kind_weights(config: SequenceConfig, action_names: Sequence[str]) -> np.ndarray | None:
    """(kinds + 1,) float32, what a target counts for by its action code; None where all count alike.

    Code 0, an action that is not known, counts 1, and nothing where ``target`` names a kind.

    Raises ``ActionUnknown`` for a name that the log does not have.
    """
    named = {**config.action_weights} if config.target is None else {config.target: 1.0, **config.action_weights}
    if not named:
        return None
    for name in named:
        if name not in action_names:
            known = ", ".join(action_names) or "none"
            raise ActionUnknown(name=name, known=known, hint=nearest(name, action_names))
    weights = np.array([1.0, *(config.action_weights.get(name, 1.0) for name in action_names)], dtype=np.float32)
    if config.target is not None:
        weights[np.arange(len(weights)) != action_names.index(config.target) + 1] = 0
    return weights


def target_weights(kinds: np.ndarray | None, histories: Histories) -> np.ndarray | None:
    """One weight per event from :func:`kind_weights`."""
    if kinds is None:
        return None
    codes = np.zeros(len(histories.items), dtype=np.int64) if histories.actions is None else histories.actions
    return np.take(kinds, codes)


def refuse_no_targets(histories: Histories, weights: np.ndarray | None) -> None:
    """Raise ``NothingToLearn`` where every event that could be a target has the weight 0.

    Args:
        weights: (events,) of :func:`target_weights`; the first event of a history is never a target.
    """
    if weights is None:
        return
    later = np.ones(len(weights), dtype=bool)
    later[histories.offsets[:-1][histories.lengths > 0]] = False
    if later.any() and not weights[later].any():
        reason = "action_weights and target leave no event of the training events that counts as a target"
        advice = "Give a kind of action that users have after another event a weight above 0, or name it in target."
        raise NothingToLearn(reason=reason, advice=advice)
