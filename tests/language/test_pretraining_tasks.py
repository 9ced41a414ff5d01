from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from segue.data.histories import Histories
from segue.language import pretraining_tasks
from segue.language.encoder import TextConfig, TextEncoder
from segue.language.models import load_language_model
from segue.language.pairs import TextLog
from segue.language.pretraining_tasks import Behaviour, Contrast, Words
from tests.language.makers import tiny_model

TEXTS = ["red tea", "blue cup", "green saw", "drill 7"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_model(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_model(tmp_path_factory.mktemp("llama"), "llama")


def encoder_of(path: str) -> TextEncoder:
    return TextEncoder(load_language_model(path), TextConfig(model=path))


def log_of(*rows: list[int]) -> TextLog:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return TextLog(TEXTS, Histories(offsets, np.array([item for row in rows for item in row], dtype=np.int64)))


def test_behaviour_is_the_softmax_of_each_pair_among_texts_it_is_no_pair_with(
    bert: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of([0, 1], [2, 3], [0, 2])
    encoder = encoder_of(bert)
    task = Behaviour(encoder, encoder.tokenise(TEXTS), log, 100, 1, 0.5)
    vectors = torch.nn.functional.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    monkeypatch.setattr(pretraining_tasks, "read", lambda encoder, rows: vectors)
    loss = task.loss((np.array([0, 0, 1, 1]), np.array([0, 1, 2, 3])))
    logits = vectors @ vectors.T / 0.5 - torch.from_numpy(task.correction)
    known = {frozenset(pair) for pair in ((0, 1), (2, 3), (0, 2))}
    terms = []
    for anchor, positive in ((0, 1), (2, 3), (1, 0), (3, 2)):
        others = [text for text in range(4) if text != anchor and frozenset((anchor, text)) not in known]
        terms.append(-torch.log_softmax(logits[anchor, [positive, *others]], 0)[0])
    assert loss is not None
    torch.testing.assert_close(loss, torch.stack(terms).mean())


def test_a_text_is_corrected_by_how_likely_a_batch_holds_it(bert: str) -> None:
    encoder = encoder_of(bert)
    task = Behaviour(encoder, encoder.tokenise(TEXTS), log_of([0, 1, 0, 2], [0, 3]), 5, 1, 0.5)
    np.testing.assert_allclose(np.exp(task.correction), 1 - (1 - np.array([3, 1, 1, 1]) / 6) ** 5, rtol=1e-5)
    half = Behaviour(encoder, encoder.tokenise(TEXTS), log_of([0, 1, 0, 2], [0, 3]), 5, 1, 0.5, log_q=0.5)
    np.testing.assert_allclose(half.correction, task.correction / 2, rtol=1e-5)


def test_a_batch_without_pairs_teaches_nothing_and_one_without_others_does_no_harm(bert: str) -> None:
    encoder = encoder_of(bert).train()
    task = Behaviour(encoder, encoder.tokenise(TEXTS), log_of([0, 1], [2]), 4, 1, 0.5)
    assert task.loss((np.array([0, 1]), np.array([0, 2]))) is None
    loss = task.loss((np.array([0, 0]), np.array([0, 1])))
    assert loss is not None
    loss.backward()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in encoder.parameters())


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_the_two_views_of_a_text_differ_in_every_kind_of_model(kind: str, request: pytest.FixtureRequest) -> None:
    encoder = encoder_of(request.getfixturevalue(kind))
    task = Contrast(encoder, encoder.tokenise(TEXTS), 8, 0.05)
    seen: list[Tensor] = []
    encoder.train().register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
    assert task.loss(np.array([0, 1])) is not None
    one, other = seen[0].chunk(2)
    assert (one - other).abs().max() > 1e-3
    encoder.eval()
    task.loss(np.array([0, 1]))
    one, other = seen[1].chunk(2)
    torch.testing.assert_close(one, other)


def test_contrast_needs_two_texts_and_reads_each_once_an_epoch(bert: str) -> None:
    encoder = encoder_of(bert)
    task = Contrast(encoder, encoder.tokenise(TEXTS), 6, 0.05)
    batches = list(task.batches(np.random.default_rng(0)))
    assert [len(batch) for batch in batches] == [3, 1]
    assert len(batches) == task.steps
    assert sorted(np.concatenate(batches).tolist()) == [0, 1, 2, 3]
    assert task.loss(batches[1]) is None


def words_of(path: str, share: float, held: list[int]) -> Words:
    plain = load_language_model(path)
    language = load_language_model(path, "causal" if plain.causal else "masked")
    encoder = TextEncoder(type(plain)(path, "", plain.tokenizer, language.model.base_model, plain.causal), TextConfig())
    rows = encoder.tokenise(TEXTS)
    return Words(language.model, encoder, rows, 4, share, plain.causal, np.array(held, dtype=np.int64))


def test_words_are_hidden_but_never_the_marks_around_them(bert: str) -> None:
    task = words_of(bert, 0.99, [])
    tokenizer = task.encoder.tokenizer
    kinds = {"masked": 0, "kept or replaced": 0}
    rng = np.random.default_rng(0)
    for _ in range(50):
        (batch,) = list(task.batches(rng))
        hidden = batch.tokens.ids[batch.places]
        assert not np.isin(batch.wanted.numpy(), tokenizer.all_special_ids).any()
        assert (batch.tokens.ids[:, 0] == tokenizer.cls_token_id).all()
        kinds["masked"] += int((hidden == tokenizer.mask_token_id).sum())
        kinds["kept or replaced"] += int((hidden != tokenizer.mask_token_id).sum())
    assert 0.7 < kinds["masked"] / sum(kinds.values()) < 0.9


def test_the_loss_of_hidden_words_is_that_of_the_whole_model_at_their_places(bert: str) -> None:
    task = words_of(bert, 0.5, [])
    (batch,) = list(task.batches(np.random.default_rng(0)))
    task.model.eval()
    loss = task.loss(batch)
    logits = task.model(input_ids=batch.tokens.ids, attention_mask=batch.tokens.mask).logits
    assert loss is not None
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits[batch.places], batch.wanted))


def test_a_causal_model_learns_the_next_word_as_its_library_says(llama: str) -> None:
    task = words_of(llama, 0.5, [])
    (batch,) = list(task.batches(np.random.default_rng(0)))
    loss = task.loss(batch)
    labels = batch.tokens.ids.masked_fill(batch.tokens.mask == 0, -100)
    wanted = task.model(input_ids=batch.tokens.ids, attention_mask=batch.tokens.mask, labels=labels).loss
    assert loss is not None
    torch.testing.assert_close(loss, wanted)


def test_texts_held_out_are_judged_and_not_learnt_from(bert: str) -> None:
    task = words_of(bert, 0.9, [1, 3])
    assert sum(len(batch.tokens.ids) for batch in task.batches(np.random.default_rng(0))) == 2
    task.model.eval()
    judged = task.judged()
    assert judged is not None
    assert judged < 0
    assert judged == task.judged()
    assert words_of(bert, 0.9, []).judged() is None


def test_what_is_read_is_of_length_one(bert: str, tmp_path: Path) -> None:
    encoder = encoder_of(bert)
    vectors = pretraining_tasks.read(encoder, encoder.tokenise(TEXTS))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))


def test_cosines_keep_their_precision_where_products_are_of_half_of_it() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(5, 64, generator=torch.Generator().manual_seed(0)), dim=-1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = pretraining_tasks.cosines(vectors, vectors)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, vectors @ vectors.T)
