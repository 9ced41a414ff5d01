"""Questions to ranked lists, in external ids; any thread may ask, and nothing here waits for the store.

Order of an answer: history, scores, what was learnt online since, filters, seen items, diversity, exploration, reasons.
Without any of these it is exactly what ``Recommender.recommend_codes`` gives. A model that finds the likeliest items
by an index is asked for all scores where too few of those may be listed, and where exploration draws from all. The list
is noted for the store, and the models in the shadow are asked, behind its back.
"""

from __future__ import annotations

import uuid
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import polars as pl

from segue.data import frames
from segue.data.histories import Histories
from segue.errors import DiversityUnavailable, UnknownItems
from segue.recommenders.base import Recommender
from segue.recommenders.explanations import Reason
from segue.serving.answers import diversity
from segue.serving.answers.catalogue import Catalogue
from segue.serving.answers.generating import generate
from segue.serving.answers.journal import Journal, Sink
from segue.serving.answers.questions import Answer, Id, Listed, Question
from segue.serving.answers.reading import Asked, asked, learnt_of
from segue.serving.answers.reasons import reasons
from segue.serving.answers.settings import EXPLAINED, AnswersConfig
from segue.serving.answers.shadows import Shadows
from segue.serving.store.rows import ServedList


@dataclass(frozen=True, slots=True)
class Ranked:
    """A list in codes, best first.

    Attributes:
        codes, scores: (n,).
        propensities: (n,) where chance had a say.
        by_chance: (n,) whether exploration drew the item, where it took part.
        reasons: (n,) of each item, where those of its own step are known.
    """

    codes: np.ndarray
    scores: np.ndarray
    propensities: np.ndarray | None = None
    by_chance: np.ndarray | None = None
    reasons: list[tuple[Reason, ...]] | None = None


class Explorer(Protocol):
    """Gives a share of the places to items that little is known of."""

    def explore(self, served: Any, scores: np.ndarray, ranked: Ranked, recommendation_id: str) -> Ranked:
        """Another list of the same length; ``scores`` (catalogue + 1,) is -inf where an item may not be listed."""
        ...


_NOTHING = np.zeros(0, dtype=np.int64)


class Answers:
    """Answers with the models that serve.

    Args:
        models: which model answers whom (``choose``, ``main``, ``shadows``).
        state: what is known of a user (``of``); None: nothing.
        log: takes the lists that were shown, such as ``Writer.log``; None: nobody does.
        online: what was learnt since (``correction``); None: nothing.
        explorer: see :class:`Explorer`; None: no exploration.
        config: settings.
    """

    def __init__(
        self,
        models: Any,
        state: Any = None,
        log: Sink | None = None,
        *,
        online: Any = None,
        explorer: Explorer | None = None,
        config: AnswersConfig | None = None,
    ) -> None:
        self.models, self.state, self.online, self.explorer = models, state, online, explorer
        self.config = config or AnswersConfig()
        self.journal = Journal(log) if log is not None and self.config.log_served else None
        self.shadows = Shadows()
        self._catalogues: weakref.WeakKeyDictionary[Recommender, Catalogue] = weakref.WeakKeyDictionary()

    def start(self) -> None:
        """Begin to write lists and to ask shadows."""
        if self.journal is not None:
            self.journal.start()
        self.shadows.start()

    def stop(self) -> None:
        """End both; what waits is written."""
        self.shadows.stop()
        if self.journal is not None:
            self.journal.stop()

    # -- the three questions -----------------------------------------------------------------------------------

    def recommend(self, question: Question) -> Answer:
        """The best items.

        Raises:
            MomentUnreadable, ActionUnknown, ActionNotLearnt, HistoryMixed, FilterUnavailable, DiversityUnavailable.
        """
        served = self._chosen(question)
        name = uuid.uuid4().hex
        read = self._read(question, served)
        ranked = self._ranked(question, served, read.histories, name)
        answer = self._told(question, served, read, ranked, name)
        self._note(answer, question)
        self._ask_shadows(question, answer)
        return answer

    def generate(self, question: Question, n: int) -> Answer:
        """The next ``n`` items, each chosen as if those before it had been taken; none comes twice.

        Where the log has a clock, the moment that is asked about moves on by the median gap of the history's events
        with each item. ``score`` is the item's at its own step, so that scores need not fall. Raises as
        :meth:`recommend`.
        """
        served = self._chosen(question)
        read = self._read(question, served)
        ranked = self._sequence(question, served, read.histories, n)
        answer = self._told(question, served, read, ranked, uuid.uuid4().hex)
        self._note(answer, question)
        self._ask_shadows(question, answer, n)
        return answer

    def similar(self, item_id: Id, k: int) -> tuple[str, list[Listed]]:
        """The name of the model, and the items that go with one best. Raises ``UnknownItems``."""
        served = self.models.main()
        model: Recommender = served.recommender
        self._require_listed(served, item_id)
        gone = _removed(served)
        frame, _ = frames.to_polars(model.similar_items([item_id], k + len(gone)), "similar items")
        if len(gone):
            frame = frame.filter(
                ~pl.Series(model.item_vocabulary.encode(frame["similar_item_id"])).is_in(gone.tolist())
            )
            frame = frame.head(k).with_columns(rank=pl.int_range(1, pl.len() + 1))
        rows = zip(frame["similar_item_id"].to_list(), frame["score"].to_list(), frame["rank"].to_list(), strict=True)
        finite = [row for row in rows if np.isfinite(row[1])]
        return served.name, [Listed(item, score, rank, model.titles.get(item)) for item, score, rank in finite]

    def search(self, query: str, k: int) -> tuple[str, list[dict[str, Any]]]:
        """The name of the model, and rows of its catalogue whose title or id holds a text."""
        served = self.models.main()
        catalogue = self.catalogue(served.recommender)
        gone = set(_removed(served).tolist())
        found = catalogue.search(query, k + len(gone))
        codes = served.recommender.item_vocabulary.encode(found) if gone else []
        listed = [each for each, code in zip(found, codes, strict=True) if code not in gone][:k] if gone else found
        return served.name, catalogue.rows(listed)

    def item(self, item_id: Id) -> tuple[str, dict[str, Any]]:
        """The name of the model, and the item's row of its catalogue. Raises ``UnknownItems``."""
        served = self.models.choose(None)
        code = self._require_listed(served, item_id)
        vocabulary = served.recommender.item_vocabulary
        return served.name, self.catalogue(served.recommender).rows([vocabulary.listed[code - 1]])[0]

    def _require_listed(self, served: Any, item_id: Id) -> int:
        """The code of an item; raises ``UnknownItems`` where the catalogue lacks it or has lost it."""
        code = int(served.recommender.item_vocabulary.code_of(item_id))
        if not code or code in _removed(served):
            raise UnknownItems(count=1, example=item_id, hint="")
        return code

    def catalogue(self, model: Recommender) -> Catalogue:
        """A model's catalogue, made ready at its first question."""
        known = self._catalogues.get(model)
        if known is None or not known.is_of(model):
            known = self._catalogues[model] = Catalogue(model)
        return known

    # -- how -----------------------------------------------------------------------------------------------------

    def _chosen(self, question: Question) -> Any:
        return self.models.choose(None if question.user_id is None else str(question.user_id))

    def _read(self, question: Question, served: Any) -> Asked:
        return asked(question, served, self.state, self.config.unsaid)

    def _scores(
        self,
        served: Any,
        question: Question,
        histories: Histories,
        told: Histories,
        allowed: np.ndarray | None,
        wanted: float,
    ) -> np.ndarray:
        """(catalogue + 1,) scores, -inf where an item may not be listed; ``told`` is the history that was given.

        Of a model that is approximate the likeliest items alone have a score, unless fewer than ``wanted`` of them may
        be listed.
        """
        if served.recommender.approximate and np.isfinite(wanted):
            scores = self._scores_by(served, question, histories, told, allowed, exact=False)
            if np.count_nonzero(np.isfinite(scores)) >= wanted:
                return scores
        return self._scores_by(served, question, histories, told, allowed, exact=True)

    def _scores_by(
        self,
        served: Any,
        question: Question,
        histories: Histories,
        told: Histories,
        allowed: np.ndarray | None,
        exact: bool,
    ) -> np.ndarray:
        model: Recommender = served.recommender
        scores: np.ndarray = model.score_codes(histories, exact)[0]
        if self.online is not None:
            biases = self.online.correction(served.name, histories)
            if biases is not None:
                known = min(len(biases), len(scores))  # items may have come since the one or the other
                scores[:known] += biases[:known]
        if allowed is not None:
            known = min(len(allowed), len(scores))
            scores[:known][~allowed[:known]] = -np.inf
            scores[known:] = -np.inf
        scores[model.left_out(told, question.exclude_seen).items] = -np.inf
        scores[_removed(served)] = -np.inf
        scores[~np.isfinite(scores)] = -np.inf  # what is no number has no place in a list
        scores[0] = -np.inf
        return scores

    def _ranked(self, question: Question, served: Any, histories: Histories, name: str) -> Ranked:
        catalogue = self.catalogue(served.recommender)
        explorer = self.explorer if question.explore else None
        size = self._pool(question, question.k)
        wanted = size if explorer is None else np.inf
        scores = self._scores(served, question, histories, histories, catalogue.listable(question.filters), wanted)
        if question.diversity == 0:
            codes = catalogue.best(scores, size)
        else:
            pool = catalogue.best(scores, size)
            vectors = self._vectors(served, pool)
            codes = pool[diversity.spread(scores[pool], vectors, question.k, question.diversity)]
        ranked = Ranked(codes, scores[codes])
        return ranked if explorer is None else explorer.explore(served, scores, ranked, name)

    def _sequence(self, question: Question, served: Any, told: Histories, n: int) -> Ranked:
        model: Recommender = served.recommender
        allowed = self.catalogue(model).listable(question.filters)
        wanted = n + self._pool(question, 1)

        steps: list[Histories] = []

        def blocks(histories: Histories, _: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
            steps.append(histories)
            # What may be listed depends on the history that was told; of the items chosen since none comes twice.
            scores = self._scores(served, question, histories, told, allowed, wanted)
            return [(np.zeros(1, dtype=np.int64), self.catalogue(model).padded(scores)[None])]

        codes, scores = generate(
            blocks,
            told,
            n,
            self.catalogue(model).prior,
            question.diversity,
            lambda codes: self._vectors(served, codes),
            self.config.diversity_pool,
        )
        ranked = Ranked(codes[codes > 0], scores[codes > 0])
        if not question.explain:
            return ranked
        why = [
            self._reasons(served, histories, Ranked(ranked.codes[[place]], ranked.scores[[place]]))[0]
            for place, histories in enumerate(steps[: len(ranked.codes)])
        ]
        return replace(ranked, reasons=why)

    def _pool(self, question: Question, k: int) -> int:
        """From how many of the best a list of ``k`` is chosen."""
        return diversity.pool_size(k, question.diversity, self.config.diversity_pool)

    def _vectors(self, served: Any, codes: np.ndarray) -> np.ndarray:
        """(codes, d) what tells how alike items are: the model's vectors, else categories."""
        vectors: np.ndarray | None = served.recommender.item_vectors(codes)
        if vectors is None:
            vectors = self.catalogue(served.recommender).category_vectors(codes)
        if vectors is None:
            raise DiversityUnavailable(model=served.name)
        return vectors

    def _told(self, question: Question, served: Any, read: Asked, ranked: Ranked, name: str) -> Answer:
        model: Recommender = served.recommender
        why: list[Any] | None = None
        if question.explain:
            explained = self._reasons(served, read.histories, ranked) if ranked.reasons is None else ranked.reasons
            why = [*explained, *[None] * (len(ranked.codes) - len(explained))]
        names = model.item_vocabulary.listed
        ids = [names[code - 1] for code in ranked.codes.tolist()]
        titles = model.titles
        chances = [None] * len(ids) if ranked.propensities is None else ranked.propensities.tolist()
        whys = [None] * len(ids) if why is None else why
        items = [
            Listed(item, score, rank, titles.get(item) or None, reason, chance)
            for rank, (item, score, reason, chance) in enumerate(
                zip(ids, ranked.scores.tolist(), whys, chances, strict=True), start=1
            )
        ]
        return Answer(
            recommendation_id=name,
            model=served.name,
            user_id=question.user_id,
            at=read.at,
            clock=model.clock,
            items=items,
            history_length=len(read.histories.items),
            unknown_items=read.unknown,
            cold=not learnt_of(model, read.histories.items),
            history_source="model" if read.from_model else None,
            explained=EXPLAINED if question.explain and len(ids) > EXPLAINED else None,
        )

    def _reasons(self, served: Any, histories: Histories, ranked: Ranked) -> list[tuple[Reason, ...]]:
        """Why each of the first ``EXPLAINED`` items is listed, by the history that it was ranked from."""
        return reasons(
            served.recommender,
            histories,
            ranked.codes[:EXPLAINED],
            None if self.online is None else self.online.correction(served.name, histories),
            policy=getattr(self.explorer, "config", None),
            by_chance=None if ranked.by_chance is None else ranked.by_chance[:EXPLAINED],
            propensities=None if ranked.propensities is None else ranked.propensities[:EXPLAINED],
        )

    # -- behind the back -----------------------------------------------------------------------------------------

    def _note(self, answer: Answer, question: Question, shadow: bool = False) -> None:
        if self.journal is None:
            return
        chances = [each.propensity for each in answer.items]
        told = ServedList(
            recommendation_id=answer.recommendation_id,
            user_id=None if answer.user_id is None else str(answer.user_id),
            model=answer.model,
            shadow=shadow,
            moment=answer.at,
            received=question.received,
            action=question.action,
            items=[str(each.item_id) for each in answer.items],
            scores=[each.score for each in answer.items],
            propensities=[each for each in chances if each is not None] if None not in chances else None,
        )
        self.journal.note(told)

    def _ask_shadows(self, question: Question, shown: Answer, n: int | None = None) -> None:
        """Ask for what was asked for: a list, or a sequence of ``n``."""
        for shadow in self.models.shadows():
            self.shadows.ask(shadow.name, self._shadow_call(shadow, question, shown, n))

    def _shadow_call(self, shadow: Any, question: Question, shown: Answer, n: int | None) -> Callable[[], float]:
        def call() -> float:
            """The share of the shown items that the shadow lists too."""
            plain = replace(question, explain=False, explore=False)
            read = self._read(plain, shadow)
            name = shown.recommendation_id
            if n is None:
                ranked = self._ranked(plain, shadow, read.histories, name)
            else:
                ranked = self._sequence(plain, shadow, read.histories, n)
            answer = self._told(plain, shadow, read, ranked, name)
            self._note(answer, plain, shadow=True)
            listed = {str(each.item_id) for each in answer.items}
            return sum(str(each.item_id) in listed for each in shown.items) / max(1, len(shown.items))

        return call


def _removed(served: Any) -> np.ndarray:
    """Codes of the items that the store's catalogue has lost."""
    codes: np.ndarray = getattr(served, "removed_codes", _NOTHING)
    return codes
