"""``segue.evaluate``: rank the whole catalogue for every test user, under one stated protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from segue.arguments import require, require_flag
from segue.data import frames, schema
from segue.data.histories import Histories
from segue.data.split import Holdout, Split
from segue.errors import ActionUnknown, BadK, ColumnMissing, NoTargets, nearest
from segue.evaluation import beyond
from segue.evaluation.report import Report
from segue.evaluation.slices import by_slice
from segue.numeric import as_python
from segue.ranking.metrics import Hits, auc
from segue.recommenders.base import Recommender
from segue.recommenders.kinds import rarely_again, repeats

_EXAMPLES = 8


def evaluate(
    model: Recommender,
    test: Holdout | Split,
    *,
    k: int | Sequence[int] = (1, 5, 10, 20),
    action: str | None = None,
    exclude_seen: bool | None = None,
    tell_moment: bool = True,
    beside: Sequence[Recommender] = (),
    progress: bool = True,
) -> Report:
    """Evaluate a recommender on held-out events, with full ranking over the catalogue.

    Args:
        model: fitted.
        test: ``split.test``, or the split that has it; every recommender is asked with the same context.
        k: lengths of lists to report.
        action: count targets of this kind alone, such as ``"purchase"``, and ask for it; users without one are not
            asked about. None is all, or the one that the model has learnt to tell (its setting ``target``).
        exclude_seen: whether items of the context may be listed. It belongs to the protocol, not to the model. None
            looks at whether people in this log come back to the same item (in the context, never in the targets). With
            an action, items of events of that kind alone are left out: what was looked at may still be bought.
        tell_moment: ask at the moment of each user's first target, as a service is asked when somebody comes back (and
            as HSTU and its re-implementations are evaluated); False asks without saying when.
        beside: other fitted recommenders to show in the same report.

    Raises:
        NoTargets: nothing is held out.
        NotFitted, BadK, ActionUnknown, ArgumentKind.
    """
    plain = as_python(k)
    ks = [as_python(each) for each in plain] if isinstance(plain, Sequence) and not isinstance(plain, str) else [plain]
    if not ks or any(isinstance(each, bool) or not isinstance(each, int) or each < 1 for each in ks):
        raise BadK(value=k)
    test = test.test if isinstance(test, Split) else test
    advice = "Give a fitted recommender, or segue.load(path)."
    require(model, Recommender, "evaluate", "model", "a recommender", advice)
    require(beside, (list, tuple), "evaluate", "beside", "a list of recommenders", "For example beside=[popular].")
    for each in beside:
        require(each, Recommender, "evaluate", "one of beside", "a recommender", advice)
    if exclude_seen is not None:
        require_flag(exclude_seen, "evaluate", "exclude_seen")
    if not isinstance(test, Holdout) or not len(test.users):
        raise NoTargets(
            why="the holdout is empty" if isinstance(test, Holdout) else f"a {type(test).__name__} is no holdout"
        )
    model._require_fitted()
    action = model.target if action is None else action
    kind = 0
    if action is not None:
        test, kind = _about(test, action)
    contexts = test.asked() if tell_moment else test.context.histories.take(test.users)
    contexts = replace(contexts, wanted=np.full(len(contexts), kind)) if kind else contexts
    targets = test.targets.histories.take(test.users)
    again = repeats(test.context.histories, kind)
    chosen = rarely_again(test.context.histories, kind) if exclude_seen is None else exclude_seen
    events = "later events" if action is None else f"later events of the kind {action!r}"
    why = "given" if exclude_seen is not None else f"{again:.1%} of {events} are on an item seen before"
    protocol = {
        "users": len(test.users),
        "targets": len(targets.items),
        **({} if action is None else {"action": action}),
        "catalogue": len(test.context.item_vocabulary),
        "ranking": "full",
        **({"moment_of_request": "first target" if tell_moment else "not told"} if model.clock == "time" else {}),
        "exclude_seen": chosen,
        "exclude_seen_because": why,
        "k": sorted(ks),
    }
    reports = [_report(each, test, contexts, targets, protocol, progress) for each in (model, *beside)]
    reports[0].beside = reports[1:]
    return reports[0]


def _report(
    model: Recommender, test: Holdout, contexts: Histories, targets: Histories, protocol: dict[str, Any], progress: bool
) -> Report:
    model._require_fitted()
    ks: list[int] = protocol["k"]
    lists, _ = model.recommend_codes(contexts, max(ks), exclude_seen=protocol["exclude_seen"], progress=progress)
    # A catalogue of fewer items ends the lists early; metrics of longer ones are what they are.
    lists = np.pad(lists, ((0, 0), (0, max(ks) - lists.shape[1])))
    counts = test.context.item_counts
    short = 10 if max(ks) >= 10 else max(ks)
    among_cold = _among_cold(model, test, contexts, targets, short, protocol["exclude_seen"])
    return Report(
        name=type(model).__name__,
        protocol=protocol,
        hits=Hits.of(lists, targets).graded(lists, targets).surprising(lists, counts),
        beyond={name: value for each in ks for name, value in _beyond(lists[:, :each], each, test, contexts).items()},
        slices=by_slice(lists, contexts, targets, counts, short, among_cold),
        examples=_examples(model, test, contexts, targets, lists),
        training=model.report,
        users=test.context.user_vocabulary.decode(test.users),
    )


def _among_cold(
    model: Recommender, test: Holdout, contexts: Histories, targets: Histories, k: int, exclude_seen: bool
) -> np.ndarray | None:
    """(users, k) lists of cold items alone, for those with a cold target; None where nobody has one."""
    asked = np.unique(targets.rows()[test.cold[targets.items]])
    if not len(asked):
        return None
    lists = np.zeros((len(contexts), k), dtype=np.int64)
    found, _ = model.recommend_codes(
        contexts.take(asked), k, exclude_seen=exclude_seen, among=test.cold, progress=False
    )
    lists[asked, : found.shape[1]] = found
    return lists


def evaluate_pairs(model: Recommender, pairs: Any) -> float:
    """AUC of scored pairs: how often a pair with label 1 is scored above one with label 0.

    Args:
        pairs: a frame with ``user_id``, ``item_id`` and ``label`` (0 or 1). Unknown items are scored lowest.
    """
    table, _ = frames.to_polars(pairs, "pairs")
    table = schema.rename(table, None, ("user_id", "item_id"), "pairs")
    if "label" not in table.columns:
        raise ColumnMissing(column="label", what="pairs", found=", ".join(table.columns), hint="")
    users, place = np.unique(model.user_vocabulary.encode(table["user_id"]), return_inverse=True)
    items = model.item_vocabulary.encode(table["item_id"])
    scores = np.full(table.height, -np.inf, dtype=np.float32)
    for part, block in model._blocks(model.histories.take(users), show=False):
        row_of = np.full(len(users), -1)
        row_of[part] = np.arange(len(part))
        here = (row_of[place] >= 0) & (items > 0)
        scores[here] = block[row_of[place[here]], items[here]]
    return auc(scores, table["label"].to_numpy())


def _about(test: Holdout, action: str) -> tuple[Holdout, int]:
    """The test with targets of one kind alone, and that kind's code."""
    names = test.targets.action_names
    if not isinstance(action, str) or action not in names:
        raise ActionUnknown(name=action, known=", ".join(names) or "none", hint=nearest(str(action), names))
    test = test.about(action)
    if not len(test.users):
        raise NoTargets(why=f"no event of the test is a {action!r}")
    return test, names.index(action) + 1


def _beyond(lists: np.ndarray, k: int, test: Holdout, contexts: Histories) -> dict[str, float]:
    counts, catalogue = test.context.item_counts, len(test.context.item_vocabulary)
    figures = {
        "coverage": beyond.coverage(lists, catalogue),
        "novelty": beyond.novelty(lists, counts),
        "diversity": beyond.diversity(lists, test.context.histories),
        "gini": beyond.gini(lists, catalogue),
        "popularity_bias": beyond.popularity_bias(lists, contexts, counts),
    }
    return {f"{name}@{k}": value for name, value in figures.items()}


def _examples(
    model: Recommender, test: Holdout, contexts: Histories, targets: Histories, lists: np.ndarray
) -> list[dict[str, Any]]:
    """A few users, spread over the test: the end of the history, what came, and what was recommended."""
    titles = test.context.titles
    words = test.context.item_vocabulary

    def named(codes: np.ndarray) -> list[str]:
        return [str(titles.get(item) or item) for item in words.decode(codes)] if len(codes) else []

    rows = np.unique(np.linspace(0, len(lists) - 1, _EXAMPLES).round().astype(int))
    users = test.context.user_vocabulary.decode(test.users[rows])
    return [
        {
            "user": str(user),
            "history": named(contexts.row(row)[-6:]),
            "came": named(targets.row(row)[:6]),
            "recommended": named(lists[row][lists[row] > 0][:10]),
        }
        for user, row in zip(users, rows, strict=True)
    ]


def protocol_frame(report: Report) -> pl.DataFrame:
    """The protocol as two columns, for people."""
    return pl.DataFrame({"what": list(report.protocol), "value": [str(value) for value in report.protocol.values()]})
