"""The contract of every recommender: ``fit``, ``recommend``, ``score``, ``similar_items``, ``save``, ``load``.

A recommender supplies four small things: how to learn, how to score the catalogue for a block of histories, and what to
write and read. Everything a user meets (external ids, cold users, seen items, ties, frames, artefacts) is here,
once. Evaluation and serving are left to other rooms.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from segue import artefacts, progress
from segue.arguments import refusal, require_flag
from segue.config import Config
from segue.data.dataset import Dataset, titles_of
from segue.data.histories import Histories
from segue.data.item_categories import ItemCategories
from segue.data.split import Holdout, training_parts
from segue.errors import ArtefactCorrupt, DiversityUnavailable, ItemsNotTaken, NotFitted, UnknownItems, nearest
from segue.ranking.diversity import pool_size, spread
from segue.ranking.topk import top_k
from segue.recommenders import asking, explanations, growing, keeping, kinds
from segue.recommenders.generation import generate
from segue.recommenders.growing import AddedItems, Growth
from segue.recommenders.item_filter import ItemFilter, item_filter

# What every recommender knows of the log besides what it learnt.
_KNOWN = (
    "item_vocabulary",
    "user_vocabulary",
    "histories",
    "item_counts",
    "items",
    "frame_kind",
    "clock",
    "time_zone",
    "action_names",
    "exclude_seen",
)
_SCORES = 8_000_000  # floats of scores alive at once (32 MB)
_FEW_ROWS = 4  # up to so many are answered from the likeliest items where a recommender can find them


class NoConfig(Config):
    """A recommender without settings."""


class Recommender(ABC):
    """Base of all recommenders.

    Subclasses set ``Settings`` and implement :meth:`_fit`, :meth:`_score_block`, :meth:`_save` and :meth:`_load`.
    The constructor takes the settings by name, or one settings object.

    Attributes:
        config: the settings.
        item_vocabulary, user_vocabulary: known after :meth:`fit`.
        histories: what is known of each user; row 0 is empty.
        item_counts: events per item code in training.
        items: the catalogue, or None.
        exclude_seen: whether this log's people rarely come back to an item, so that items seen are left out.
        report: what fitting did.
    """

    Settings: ClassVar[type[Config]] = NoConfig
    registry: ClassVar[dict[str, type[Recommender]]] = {}

    def __init__(self, config: Config | None = None, **settings: Any) -> None:
        name = type(self).__name__
        config = _settings_object(config, self.Settings, name)
        if config is not None and settings:
            settings = {**config.model_dump(), **settings}
        self.config: Any = config if config is not None and not settings else self.Settings.parse(settings, owner=name)
        self.report: dict[str, Any] = {}
        self._fitted = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Recommender.registry[cls.__name__] = cls

    # -- what a subclass supplies ------------------------------------------------------------------------------

    @abstractmethod
    def _fit(self, data: Dataset, validation: Holdout | None, run: Mapping[str, Any]) -> None:
        """Learn. ``self.item_counts``, ``self.histories`` and the vocabularies are set."""

    @abstractmethod
    def _score_block(self, histories: Histories) -> np.ndarray:
        """(rows, catalogue + 1) float32 scores; no row is empty; column 0 is ignored."""

    def _score_likeliest(self, histories: Histories) -> np.ndarray:
        """As :meth:`_score_block`, with minus infinity for all but the likeliest items; see ``approximate``."""
        return self._score_block(histories)

    @property
    def approximate(self) -> bool:
        """Whether few rows may be answered from the likeliest items alone, found without scoring all."""
        return False

    def _score_empty(self, histories: Histories) -> np.ndarray:
        """As :meth:`_score_block` where all rows are empty: popularity, in the kind of action asked for."""
        wanted = np.zeros(len(histories), dtype=np.int64) if histories.wanted is None else histories.wanted
        rows: np.ndarray = self._popularity[wanted]
        return rows

    def _cold_start_rule(self, histories: Histories) -> str:
        """By what :meth:`_score_empty` ranks, in words; ``histories`` is one empty row."""
        action = 0 if histories.wanted is None else int(histories.wanted[0])
        return "popularity of all time" + (f" in {self.action_names[action - 1]!r} events" if action else "")

    def _score_parts(self, histories: Histories) -> dict[str, np.ndarray]:
        """What :meth:`_score_block` is the sum of, for one row: (catalogue + 1,) each, by name."""
        return {type(self).__name__: self._score_block(histories)[0]}

    def _event_reasons(self, histories: Histories, codes: np.ndarray) -> list[tuple[explanations.Reason, ...]]:
        """What of one history, which is not empty, the scores of items hang on."""
        return explanations.event_reasons(self, histories, codes)

    @abstractmethod
    def _save(self, artefact: artefacts.Writer) -> None:
        """Write what was learnt."""

    @abstractmethod
    def _load(self, artefact: artefacts.Reader) -> None:
        """Read what :meth:`_save` wrote; the vocabularies are set."""

    @property
    def target(self) -> str | None:
        """The one kind of action that this model has learnt to tell, or None for all."""
        return None

    # -- learning ----------------------------------------------------------------------------------------------

    def fit(self, data: Any, validation: Any = None, **run: Any) -> Self:
        """Learn from a data set.

        Args:
            data: training events: a data set, a frame or the file of a log, or a split, whose train and validation are
                taken. A frame decides the kind of frame that answers come in.
            validation: a holdout (or, beside a frame, a frame of later events) for what needs one (early stopping); in
                the end all recommenders learn from its events too, unless told otherwise.
            run: how to run today (``progress``, ``checkpoint``, ``resume``, ``device``, ``threads``, ``tracker``,
                ``log_dir``).

        Raises:
            ArgumentKind: the data are none of that.
            DataError, SplitLeak: see ``Dataset.from_frames`` and ``segue.split.from_frames``.
        """
        data, validation = training_parts(data, validation, type(self).__name__)
        self._warn_settings()
        known = data if validation is None else validation.all
        # Until it has learnt everything anew it can answer nothing: half of two fits would be wrong silently.
        self._fitted = False
        self._forget_answers()
        self._know(data, known)
        self._fit(data, validation, run)
        self._fitted = True
        return self

    def _warn_settings(self) -> None:
        """Name the settings that are not read (``SettingUnread``); one whose fit decides more does so itself."""
        self.config.warn_unread(type(self).__name__)

    def _know(self, data: Dataset, known: Dataset) -> None:
        """Take the vocabularies and the catalogue of a log, and the histories of what is ``known`` of it."""
        self.item_vocabulary, self.user_vocabulary = data.item_vocabulary, data.user_vocabulary
        self.histories, self.item_counts = known.histories, known.item_counts
        self.items, self.frame_kind, self.clock = data.items, data.frame_kind, data.clock
        self.time_zone, self.action_names = data.time_zone, data.action_names
        told = 0 if self.target not in self.action_names else self._kind(self.target)
        self.exclude_seen = kinds.rarely_again(known.histories, told)
        self.report = {"recommender": type(self).__name__, "exclude_seen": self.exclude_seen}

    def add_items(self, items: Any) -> AddedItems:
        """Take items into the catalogue without training; from now on they are ranked by what is known of them.

        Adding the same rows again changes nothing. A row that differs from the one that is there takes its place; its
        columns that are not given stay. The recommender grows whole or, where an error is raised, not at all.

        Args:
            items: a frame with ``item_id`` and columns of the catalogue, of any kind.

        Returns:
            How many items were new, changed and known already, and how many have no text.

        Raises:
            NotFitted, ColumnMissing, DuplicateItems, EmptyLog, IdsDiffer, ColumnUnreadable.
            ItemsNotTaken: this recommender has to be trained again.
            LanguageModelUnknown, LanguageModelChanged: what read the texts in training is not there.
        """
        self._require_fitted()
        return growing.add_items(self, items)

    def _grow(self, growth: Growth) -> None:
        """Extend what is kept for each item; vocabulary, catalogue and counts are extended already."""
        raise ItemsNotTaken(owner=type(self).__name__)

    def _forget_answers(self) -> None:
        """Drop what was derived from the log and the catalogue."""
        for name in ("titles", "_popularity", "_rarely_again", "_categories"):
            self.__dict__.pop(name, None)

    def know_as(self, other: Recommender) -> None:
        """Know of the log what another fitted recommender knows, without a copy; nothing is learnt."""
        for name in _KNOWN:
            setattr(self, name, getattr(other, name))

    # -- answering ---------------------------------------------------------------------------------------------

    def recommend(
        self,
        users: Sequence[Any] | Any | None = None,
        k: int = 10,
        *,
        histories: Any = None,
        at: Any = None,
        action: str | Sequence[str] | None = None,
        exclude_seen: bool | None = None,
        among: Any = None,
        exclude: Any = None,
        diversity: float = 0.0,
        progress: bool = True,
    ) -> Any:
        """The best ``k`` items for known users, or for anyone with a history.

        Args:
            users: external user ids; those not in the log count as having no history (with a warning).
            k: length of each list; shorter only where the catalogue ends.
            histories: instead of users: lists of external item ids, oldest first, or a frame with ``user_id``,
                ``item_id`` and ``timestamp``; a column ``at`` tells the moment each user is asked about (its newest
                value counts). Items not in the catalogue are skipped (with a warning).
            at: the moment of the request, one for all or one for each user: a datetime, ISO 8601 text, a number as in
                the log, or ``"now"``. Events after it are not read. None says nothing about it.
            action: what the items are wanted for, such as ``"purchase"``; several give one list for each. None is any,
                or the one that the model was trained to tell.
            exclude_seen: leave out items of the history, where a kind of action is asked for those of its events of
                that kind; None does what suits this log (``model.exclude_seen``) and this kind.
            among: the only items that may be listed: item ids, or a frame with ``item_id``; or for each user a mapping
                from user id to item ids, or a frame with ``user_id`` and ``item_id`` (for lists of histories the user
                id is their place). The answer is the whole ranking without all other items. A user whom a mapping or
                such a frame does not name gets an empty list (with a warning).
            exclude: items that may not be listed, in the same forms. Ids that are not known count for nothing (with a
                warning), here and in ``among``.
            diversity: from 0, the best items, to 1, items that are least alike: maximal marginal relevance (Carbonell
                and Goldstein, SIGIR 1998) among the best ``max(5 * k, 100)``; see ``segue.ranking.diversity``.

        Returns:
            A frame of the kind that the recommender was trained with: ``user_id, item_id, score, rank`` (rank from
            1). For lists of histories ``user_id`` is their place, from 0. With ``diversity`` scores need not fall.

        Raises:
            NotFitted, NothingAsked, BadK, HistoryMalformed, MomentUnreadable, ActionUnknown, ActionNotLearnt.
            ItemFilterMalformed, ColumnMissing, DiversityUnreadable.
            DiversityUnavailable: the model has no item vectors and the catalogue no categories.
        """
        self._require_fitted()
        if exclude_seen is not None:
            require_flag(exclude_seen, "recommend", "exclude_seen")
        k, diversity = asking.length(k), asking.diversity_of(diversity)
        asked = asking.about(self, asking.resolve(self, users, histories), at, action)
        size = min(pool_size(k, diversity), len(self.item_vocabulary))
        codes, scores = self.recommend_codes(
            asked.histories,
            size,
            exclude_seen=exclude_seen,
            among=item_filter(self, asked, among, exclude),
            progress=progress,
        )
        if diversity:
            codes, scores = self._diverse(codes, scores, k, diversity)
        return asking.answer(self, asked, codes, scores)

    def generate(
        self,
        users: Sequence[Any] | Any | None = None,
        n: int = 10,
        *,
        histories: Any = None,
        at: Any = None,
        action: str | Sequence[str] | None = None,
        exclude_seen: bool | None = None,
        among: Any = None,
        exclude: Any = None,
        diversity: float = 0.0,
    ) -> Any:
        """The next ``n`` items, each chosen as if those before it had been taken; none comes twice.

        Greedy: the best item of each step, or with ``diversity`` the one of largest marginal relevance beside those
        already chosen. Where the log has a clock, the request time moves on by the median gap of the user's events with
        each item. Items of the history given are left out or not as in :meth:`recommend`.

        Args:
            users, histories, at, action, exclude_seen, among, exclude, diversity: as for :meth:`recommend`.
            n: items of each sequence; shorter only where nothing else may be listed.

        Returns:
            A frame as of :meth:`recommend`; ``rank`` is the step, and ``score`` that of the item at its own step, so
            that scores need not fall.

        Raises:
            As :meth:`recommend`.
        """
        self._require_fitted()
        n, diversity = asking.length(n), asking.diversity_of(diversity)
        asked = asking.about(self, asking.resolve(self, users, histories), at, action)
        allowed = item_filter(self, asked, among, exclude)
        left_out = self.left_out(asked.histories, exclude_seen)

        enough = n + pool_size(1, diversity)

        def scored(rows: Histories, numbers: np.ndarray, exact: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for part, block in self._blocks(rows, show=False, exact=exact):
                allowed.apply(block, numbers[part])
                seen = left_out.take(numbers[part])
                block[seen.rows(), seen.items] = -np.inf
                block[:, 0] = -np.inf
                yield part, block

        def blocks(rows: Histories, numbers: np.ndarray) -> Iterable[tuple[np.ndarray, np.ndarray]]:
            if self.approximate and len(rows) <= _FEW_ROWS:
                found = list(scored(rows, numbers, exact=False))
                if all((np.isfinite(block).sum(1) >= enough).all() for _, block in found):
                    return found
            return scored(rows, numbers, exact=True)

        codes, scores = generate(
            blocks, asked.histories, n, self.item_counts.astype(np.float32), diversity, self._diversity_vectors
        )
        return asking.answer(self, asked, codes, scores)

    def recommend_codes(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool | np.ndarray | None,
        among: np.ndarray | ItemFilter | None = None,
        exact: bool = False,
        progress: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`recommend` in codes: (rows, k) item codes, 0 where a list ends, and their scores.

        Scores stream through a block of fixed size; users x items is never held. ``exclude_seen`` is one for all, one
        for each row, or None (see :meth:`left_out`); ``among`` is a mask (catalogue + 1,) of items that may be listed,
        or an ``ItemFilter`` of these rows; ``exact`` scores all where ``approximate`` would not, as many rows do, and
        lists that came out short.
        """
        left_out = self.left_out(histories, exclude_seen)
        allowed = among if isinstance(among, ItemFilter) else ItemFilter(mask=among)
        rows, width = len(histories), len(self.item_vocabulary) + 1
        k = min(k, width - 1)
        codes = np.zeros((rows, k), dtype=np.int64)
        scores = np.full((rows, k), -np.inf, dtype=np.float32)
        prior = self.item_counts.astype(np.float32)
        exact = exact or not self.approximate or rows > _FEW_ROWS
        for part, block in self._blocks(histories, progress, exact):
            seen = left_out.take(part)
            allowed.apply(block, part)
            codes[part], scores[part] = top_k(block, k, prior, seen.offsets, seen.items)
        if not exact and not codes.all():
            return self.recommend_codes(histories, k, exclude_seen=exclude_seen, among=among, exact=True)
        return codes, scores

    def score_codes(self, histories: Histories, exact: bool = True) -> np.ndarray:
        """(rows, catalogue + 1) float32 scores, all held at once; column 0 is padding and says nothing.

        Where not ``exact``, one that is ``approximate`` gives minus infinity for all but the likeliest items.
        """
        scores = np.empty((len(histories), len(self.item_vocabulary) + 1), dtype=np.float32)
        for part, block in self._blocks(histories, show=False, exact=exact):
            scores[part] = block
        return scores

    def left_out(self, histories: Histories, exclude_seen: bool | np.ndarray | None = None) -> Histories:
        """The events of each row whose items its answer leaves out; None: as suits this log and the kind asked for."""
        if exclude_seen is None:
            exclude_seen = self.exclude_seen if histories.wanted is None else self._rarely_again[histories.wanted]
        return kinds.seen(self._about_target(histories), exclude_seen)

    def _diverse(
        self, codes: np.ndarray, scores: np.ndarray, k: int, diversity: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lists of ``k`` by maximal marginal relevance, from (rows, pool) codes (0 where a list ends) and scores."""
        k = min(k, codes.shape[1])
        chosen, values = np.zeros((len(codes), k), dtype=np.int64), np.full((len(codes), k), -np.inf, dtype=np.float32)
        for row, pool in enumerate(codes):
            pool = pool[pool > 0]
            places = spread(scores[row, : len(pool)], self._diversity_vectors(pool), k, diversity)
            chosen[row, : len(places)], values[row, : len(places)] = pool[places], scores[row, places]
        return chosen, values

    def _diversity_vectors(self, codes: np.ndarray) -> np.ndarray:
        """(codes, d) vectors by whose cosine items are alike: the model's, else categories."""
        vectors = self.item_vectors(codes)
        if vectors is None and self._categories is not None:
            vectors = self._categories.vectors(codes)
        if vectors is None:
            raise DiversityUnavailable(model=type(self).__name__)
        return vectors

    @cached_property
    def _categories(self) -> ItemCategories | None:
        return ItemCategories.of(self.items, self.item_vocabulary)

    def user_vectors(self, histories: Histories) -> np.ndarray | None:
        """(rows, d) float32 states of histories that are not empty; None where the model has none."""
        return None

    def item_vectors(self, codes: np.ndarray) -> np.ndarray | None:
        """(codes, d) float32: what tells how alike items are, by their cosine; None where the model has none."""
        return None

    def score(
        self,
        users: Sequence[Any] | None = None,
        *,
        histories: Any = None,
        items: Sequence[Any],
        at: Any = None,
        action: str | Sequence[str] | None = None,
    ) -> Any:
        """Scores of chosen items for each user or history; a frame ``user_id, item_id, score``.

        Raises ``UnknownItems`` for an item that is not in the catalogue.
        """
        self._require_fitted()
        wanted = self._encode_items(items)
        asked = asking.about(self, asking.resolve(self, users, histories), at, action)
        scores = np.zeros((len(asked.histories), len(wanted)), dtype=np.float32)
        for part, block in self._blocks(asked.histories, show=False):
            scores[part] = block[:, wanted]
        codes = np.tile(wanted, (len(scores), 1))
        return asking.answer(self, asked, codes, scores, ranked=False)

    def explain(
        self,
        users: Sequence[Any] | Any | None = None,
        k: int = 10,
        *,
        histories: Any = None,
        items: Sequence[Any] | None = None,
        at: Any = None,
        action: str | Sequence[str] | None = None,
    ) -> Any:
        """Why items are recommended, or would be.

        Args:
            users, histories, at, action: as in :meth:`recommend`.
            k: without ``items``, how many recommendations of each user are explained.
            items: these items instead, for each user.

        Returns:
            A frame, the most telling reason of an item first: ``user_id``, ``item_id``, ``kind`` (``"event"``,
            ``"habit"``, ``"popularity"``, ``"parts"``), ``because`` (an item of the history, or null), ``drop`` (by how
            much the score falls without it, or null), ``text``, and ``contributions`` (structs of ``part`` and
            ``value`` that sum to the score less the mean score of the catalogue).

        Raises:
            NotFitted, NothingAsked, BadK, HistoryMalformed, UnknownItems, MomentUnreadable, ActionUnknown,
            ActionNotLearnt.
        """
        self._require_fitted()
        asked = asking.about(self, asking.resolve(self, users, histories), at, action)
        if items is None:
            codes, _ = self.recommend_codes(asked.histories, asking.length(k), exclude_seen=None, progress=False)
        else:
            codes = np.tile(self._encode_items(items), (len(asked.histories), 1))
        return asking.answer_reasons(self, asked, codes)

    def similar_items(self, items: Sequence[Any], k: int = 10) -> Any:
        """For each item those that follow or accompany it best; a frame ``item_id, similar_item_id, score, rank``.

        The default asks for the history that holds the item alone.
        """
        self._require_fitted()
        codes = self._encode_items(items)
        single = Histories(np.arange(len(codes) + 1), codes)
        found, scores = self.recommend_codes(single, asking.length(k), exclude_seen=True, progress=False)
        return asking.answer_similar(self, codes, found, scores)

    def similar_users(self, users: Sequence[Any], k: int = 10) -> Any:
        """For each user the users of the log who are most alike; a frame ``user_id, similar_user_id, score, rank``.

        ``score`` is a cosine: of the states of a sequence model (trained or exported), for all other recommenders of
        the sets of items in the histories, ``shared / sqrt(items * items)``. Ties go to the user who came first in the
        log. Users without events are alike to nobody. Memory: the states, and a block of similarities of fixed size.

        Raises:
            NotFitted, BadK.
            UnknownUsers: a user who is not in the log, or has no event there.
        """
        self._require_fitted()
        from segue.recommenders.similar_users import similar_users  # it imports the recommenders' own modules

        return similar_users(self, users, asking.length(k))

    def _blocks(self, histories: Histories, show: bool, exact: bool = True) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Row numbers and their scores, block by block: empty histories first, then by moment and by length.

        Neighbouring moments share a block, so that what depends on them is swept once.
        """
        histories = self._about_target(histories)
        moments = np.zeros(len(histories), dtype=np.int64) if histories.at is None else histories.at
        order = np.lexsort((histories.lengths, moments, histories.lengths > 0))
        size = max(1, _SCORES // (len(self.item_vocabulary) + 1))
        empty = int((histories.lengths == 0).sum())
        with progress.bar("Recommending", len(order), show and len(order) > 5_000) as advance:
            for start in range(0, len(order), size):
                part = order[start : start + size]
                nothing = max(0, min(empty - start, len(part)))
                rows = []
                if nothing:
                    rows.append(self._score_empty(histories.take(part[:nothing])))
                if nothing < len(part):
                    rows.append((self._score_block if exact else self._score_likeliest)(histories.take(part[nothing:])))
                yield part, rows[0] if len(rows) == 1 else np.concatenate(rows)
                advance(len(part))

    def _about_target(self, histories: Histories) -> Histories:
        """Requests that name no kind of action are about the one the model has learnt."""
        if self.target is None:
            return histories
        wanted = np.zeros(len(histories), dtype=np.int64) if histories.wanted is None else histories.wanted
        return replace(histories, wanted=np.where(wanted == 0, self._kind(self.target), wanted))

    def _kind(self, action: str | None) -> int:
        """The code of a kind of action that the log has; 0 for None, which is any."""
        return 0 if action is None else self.action_names.index(action) + 1

    @cached_property
    def _popularity(self) -> np.ndarray:
        return kinds.popularity(self.histories, self.item_counts, len(self.action_names))

    @cached_property
    def _rarely_again(self) -> np.ndarray:
        return np.array([kinds.rarely_again(self.histories, kind) for kind in range(len(self.action_names) + 1)])

    def _encode_items(self, items: Any) -> np.ndarray:
        items = asking.ids(items, "items", "item_id")
        codes = self.item_vocabulary.encode(items)
        if (codes == 0).any():
            unknown = [item for item, code in zip(items, codes, strict=True) if code == 0]
            hint = nearest(str(unknown[0]), map(str, self.item_vocabulary.ids.head(10_000)))
            raise UnknownItems(count=len(unknown), example=unknown[0], hint=hint)
        return codes

    def _require_fitted(self) -> None:
        if not self._fitted:
            raise NotFitted(owner=type(self).__name__)

    @cached_property
    def titles(self) -> dict[Any, str]:
        """External item id to its title, where the catalogue has one."""
        return titles_of(self.items)

    # -- disk --------------------------------------------------------------------------------------------------

    def save(self, path: str | Path, *, test: Holdout | None = None) -> None:
        """Write an artefact; it appears whole or not at all (see ``segue.artefacts`` for the errors).

        Args:
            test: kept beside the model, so that ``segue evaluate DIR`` can be run at any time.
        """
        self._require_fitted()
        with artefacts.writing(path, type(self).__name__, self.config.model_dump()) as artefact:
            keeping.write(self, artefact, test)
            self._save(artefact)

    @classmethod
    def restore(cls, artefact: artefacts.Reader) -> Self:
        """Rebuild a recommender from a checked artefact of its class; raises ``ArtefactCorrupt``."""
        try:
            model = cls(cls.Settings.parse(artefact.manifest["config"], owner=cls.__name__))
            keeping.read(model, artefact)
            model._load(artefact)
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise ArtefactCorrupt(path=artefact.path, reason=f"its contents do not fit together ({error})") from None
        model._fitted = True
        return model

    def holdout(self, artefact: artefacts.Reader) -> Holdout:
        """The test that was saved beside the model; raises ``NoTargets`` when there is none."""
        return keeping.holdout(self, artefact)

    def __repr__(self) -> str:
        changed = self.config.model_dump(exclude_defaults=True)
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in changed.items())})"


def _settings_object(config: Any, settings: type[Config], owner: str) -> Config | None:
    """The settings object of a recommender's first argument, which may also be a mapping."""
    if config is None or isinstance(config, settings):
        return config
    if isinstance(config, Mapping):
        return settings.parse(config, owner=owner)
    field, about = next(iter(settings.model_fields.items()), ("setting", None))
    default = None if about is None else about.get_default(call_default_factory=True)
    example = config if isinstance(config, str) and isinstance(default, str) else default
    advice = f"Give settings by name, for example {owner}({field}={example!r})."
    if not settings.model_fields:
        advice = f"It has none: {owner}()."
    raise refusal(config, owner, "config", "its settings", advice)
