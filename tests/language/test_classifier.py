from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from segue.errors import LanguageModelUnsuited
from segue.language.classifier import TextClassifier, attention_mask
from tests.language.makers import tiny_model, tiny_tokenizer

SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SHAPE |= {"max_position_embeddings": 66, "initializer_range": 0.3}
WORDS = ("red", "blue", "tea", "pot", "cup", "yes", "no")


def other(folder: Path, kind: str) -> str:
    """A model of another family, wide enough in its weights that its answers differ."""
    tokenizer = tiny_tokenizer(WORDS, "bert" if kind in ("roberta", "distilbert") else "llama")
    size = {"vocab_size": len(tokenizer)}
    torch.manual_seed(0)
    if kind == "roberta":
        model: Any = transformers.RobertaModel(transformers.RobertaConfig(**SHAPE, **size, pad_token_id=0))
    elif kind == "distilbert":
        shape = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 66}
        model = transformers.DistilBertModel(transformers.DistilBertConfig(**shape, **size, initializer_range=0.3))
    elif kind == "gpt2":
        shape = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 66, "initializer_range": 0.3}
        ends = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape, **size, **ends))
    else:
        ends = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0}
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE, **size, **ends))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module", params=["bert", "roberta", "distilbert", "gpt2", "llama"])
def classifier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TextClassifier:
    folder = tmp_path_factory.mktemp(request.param)
    name = tiny_model(folder, "bert", WORDS) if request.param == "bert" else other(folder, request.param)
    found = TextClassifier(name, max_tokens=20)
    torch.manual_seed(1)
    torch.nn.init.normal_(found.head.offer.weight)
    return found.eval()


def tokens(classifier: TextClassifier, *texts: str) -> list[list[int]]:
    return classifier.tokenise(texts)


def test_an_offer_is_answered_as_if_it_stood_alone(classifier: TextClassifier) -> None:
    (history,) = tokens(classifier, "red tea blue pot")
    offers = tokens(classifier, "blue cup", "red", "pot pot tea cup")
    together = classifier.answer([history], [offers], bf16=False)[0]
    alone = [classifier.answer([history], [[offer]], bf16=False)[0, 0] for offer in offers]
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    assert len(set(together.round(4))) == 3


def test_padding_and_the_order_of_the_rows_change_nothing(classifier: TextClassifier) -> None:
    histories = tokens(classifier, "red", "red tea blue pot cup", "")
    offers = [tokens(classifier, "pot", "blue cup")] * 3
    together = classifier.answer(histories, offers, bf16=False)
    for row, history in enumerate(histories):
        np.testing.assert_allclose(
            together[row], classifier.answer([history], offers[:1], bf16=False)[0], rtol=1e-4, atol=1e-5
        )


def test_what_the_history_holds_is_read(classifier: TextClassifier) -> None:
    one, two = tokens(classifier, "red tea", "blue pot")
    offer = [tokens(classifier, "cup")]
    assert abs(classifier.answer([one], offer, bf16=False) - classifier.answer([two], offer, bf16=False)) > 1e-5


def test_of_a_long_history_the_newest_is_read_and_nothing_exceeds_the_model(classifier: TextClassifier) -> None:
    long, newest = tokens(classifier, "red " * 300 + "tea pot", "red " * 20 + "tea pot")
    offers = [tokens(classifier, "cup", "tea " * 200)]
    both = [classifier.answer([history], offers, bf16=False) for history in (long, newest)]
    np.testing.assert_array_equal(*both)
    assert np.isfinite(both[0]).all()


def test_empty_texts_are_answered(classifier: TextClassifier) -> None:
    assert np.isfinite(classifier.answer([[]], [[[], []]], bf16=False)).all()
    assert classifier.answer([], [], bf16=False).shape == (0, 0)
    assert classifier.tokenise([]) == []


def test_an_offer_sees_the_history_and_itself_alone() -> None:
    segments = torch.tensor([[0, 0, 1, 2, 2, -1]])
    seen = attention_mask(segments, causal=False)[0, 0].int().tolist()
    assert seen == [
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 0, 1, 1, 0],
        [1, 1, 0, 1, 1, 0],
        [1, 1, 0, 0, 0, 1],
    ]
    assert attention_mask(segments, causal=True)[0, 0, 3].int().tolist() == [1, 1, 0, 1, 0, 0]


def test_untuned_a_gpt_like_model_answers_by_the_logits_of_yes_and_no(tmp_path: Path) -> None:
    name = other(tmp_path, "llama")
    classifier = TextClassifier(name, max_tokens=20).eval()
    whole = transformers.AutoModelForCausalLM.from_pretrained(name).eval()
    history, offer, yes, no = tokens(classifier, "red tea", "blue pot", "yes", "no")
    with torch.inference_mode():
        logits = whole(input_ids=torch.tensor([history + offer])).logits[0, -1]
    said = classifier.answer([history], [[offer]], bf16=False)[0, 0]
    assert said == pytest.approx(float(logits[yes[0]] - logits[no[0]]), rel=1e-4)
    assert classifier.knows_yes


def test_untuned_a_bert_like_model_answers_by_likeness(tmp_path: Path) -> None:
    classifier = TextClassifier(tiny_model(tmp_path, "bert", WORDS), max_tokens=20).eval()
    same, different = tokens(classifier, "red tea", "cup")
    said = classifier.answer([same], [[same, different]], bf16=False)[0]
    assert said[0] > said[1]
    assert (abs(said) <= 4.001).all(), "four times a cosine"


def test_a_tokenizer_without_yes_and_no_is_noticed(tmp_path: Path) -> None:
    assert not TextClassifier(tiny_model(tmp_path, "llama", ("red", "tea")), 20).knows_yes


def test_a_model_that_cannot_be_told_positions_is_refused(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(WORDS, "bert")
    config = transformers.T5Config(d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=2, vocab_size=len(tokenizer))
    transformers.T5Model(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(LanguageModelUnsuited, match="positions"):
        TextClassifier(str(tmp_path), 20)
