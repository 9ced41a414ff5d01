"""Two or more recommenders on the same users: figures side by side and a paired test against the first."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from segue.arguments import require
from segue.errors import NotPaired
from segue.evaluation.report import Report
from segue.evaluation.significance import PairedTest, paired_test


def compare(left: Report, right: Report, metric: str = "ndcg@10") -> PairedTest:
    """Paired randomisation test of ``left - right`` in one per-user metric.

    Raises:
        NotPaired: other users, or another protocol.
        ArgumentKind: it is given recommenders, or something else that is no report.
        MetricUnknown.
    """
    for name, report in (("left", left), ("right", right)):
        advice = "Evaluate both on the same test: segue.compare(segue.evaluate(a, test), segue.evaluate(b, test))."
        require(report, Report, "compare", name, "a report", advice)
    if left.protocol.get("action") != right.protocol.get("action"):
        raise NotPaired(why="they are about different kinds of action")
    if left.hits.marks.shape[0] != right.hits.marks.shape[0] or not (left.users == right.users).all():
        raise NotPaired(why="they are about different users")
    if left.protocol.get("moment_of_request") != right.protocol.get("moment_of_request"):
        raise NotPaired(why="the moment of the request was told to one and not to the other")
    if left.protocol["exclude_seen"] != right.protocol["exclude_seen"]:
        raise NotPaired(why="one leaves out items seen and the other does not")
    if (left.hits.targets != right.hits.targets).any():
        raise NotPaired(why="their targets differ")
    return paired_test(left.per_user(metric), right.per_user(metric))


def comparison_table(reports: Sequence[Report], metric: str = "ndcg@10") -> pl.DataFrame:
    """One row per report: figures, the difference to the first in ``metric``, and its p-value."""
    first, rows = reports[0], []
    k = metric.partition("@")[2]
    for report in reports:
        row: dict[str, object] = {"recommender": report.name}
        row |= {name: report[name] for name in dict.fromkeys((metric, f"hit_rate@{k}", f"mrr@{k}"))}
        row |= {name: report.beyond[name] for name in (f"coverage@{k}",) if name in report.beyond}
        if report is not first:
            test = compare(report, first, metric)
            row |= {"difference": test.difference, "p": test.p_value}
        rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)
