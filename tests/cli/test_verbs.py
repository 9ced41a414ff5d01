"""The command line as a user meets it: a round trip, and mistakes that end in one message."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import warnings
from dataclasses import dataclass

import polars as pl
import pytest

from segue.cli.main import run
from segue.data.frames import to_polars
from segue.recommenders.store import load
from tests.language.makers import tiny_model

TINY = ("--set", "embedding_size=8", "--set", "blocks=1", "--set", "epochs=2")


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def segue(*arguments: object) -> Done:
    """The command in this process: what it printed and the code it would have exited with."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.argv
    sys.argv = ["segue", *map(str, arguments)]
    code: object = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            run()
    except SystemExit as stop:
        code = stop.code or 0
    finally:
        sys.argv = before
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def files(log, catalogue, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    log.write_csv(folder / "events.csv")
    catalogue.write_parquet(folder / "items.parquet")
    return folder


@pytest.fixture(scope="module")
def model(files):
    done = segue("train", files / "events.csv", "--items", files / "items.parquet", "--out", files / "model", *TINY)
    assert done.returncode == 0, done.stderr
    assert "Saved SequenceRecommender" in done.stdout
    return files / "model"


def refused(done: Done, code: str, *words: str) -> None:
    assert done.returncode == 2
    assert f"error {code}" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    for word in words:
        assert word in done.stderr


def test_evaluate_writes_figures_and_a_page_beside_the_baselines(model, files):
    done = segue("evaluate", model, "--json", files / "f.json", "--report", files / "r.html")
    assert done.returncode == 0, done.stderr
    for name in ("SequenceRecommender", "Popular", "ItemNeighbours"):
        assert name in done.stdout
    assert json.loads((files / "f.json").read_text())["metrics"]["ndcg@10"] >= 0
    assert "</html>" in (files / "r.html").read_text()


def test_recommend_to_known_users_shows_titles(model):
    done = segue("recommend", model, "--users", "u1,u2", "-k", "3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Film number") == 6


def test_recommend_among_some_items_without_others_and_with_diversity(model, files):
    pl.DataFrame({"item_id": ["i1", "i2", "i3", "i4", "i5"]}).write_csv(files / "some.csv")
    options = (
        "--among",
        files / "some.csv",
        "--exclude",
        "i2,i3",
        "--no-exclude-seen",
        "--out",
        files / "some.parquet",
    )
    done = segue("recommend", model, "--users", "u1", *options, "--diversity", "0.3")
    assert done.returncode == 0, done.stderr
    assert set(pl.read_parquet(files / "some.parquet")["item_id"]) == {"i1", "i4", "i5"}
    assert "'nowhere'" in segue("recommend", model, "--users", "u1", "--exclude", "nowhere").stderr
    refused(segue("recommend", model, "--users", "u1", "--among", "no-such.csv"), "D001", "no-such.csv")
    refused(segue("recommend", model, "--users", "u1", "--diversity", "2"), "R052", "2")


def test_generate_and_similar_answer_as_in_python(model, files):
    recommender = load(model)
    verbs = {
        "generate --users u1,u2 -n 3 --diversity 0.2": recommender.generate(["u1", "u2"], 3, diversity=0.2),
        "similar --items i1,i2 -k 3": recommender.similar_items(["i1", "i2"], 3),
        "similar --users u1,u2 -k 3": recommender.similar_users(["u1", "u2"], 3),
    }
    for line, frame in verbs.items():
        verb, *options = line.split()
        done = segue(verb, model, *options, "--out", files / "answer.parquet")
        assert done.returncode == 0, done.stderr
        assert pl.read_parquet(files / "answer.parquet").drop("title", strict=False).equals(to_polars(frame)[0])
        assert segue(verb, model, *options).returncode == 0
    refused(segue("similar", model), "R002", "items")
    refused(segue("similar", model, "--users", "nobody"), "R051", "nobody")


def test_recommend_to_histories_of_a_file_writes_the_format_asked_for(model, files):
    pl.DataFrame({"user_id": ["new", "new", "other"], "item_id": ["i1", "i2", "i3"]}).write_csv(files / "new.csv")
    done = segue("recommend", model, "--histories", files / "new.csv", "-k", "4", "--out", files / "lists.parquet")
    assert done.returncode == 0, done.stderr
    lists = pl.read_parquet(files / "lists.parquet")
    assert lists["user_id"].to_list() == ["new"] * 4 + ["other"] * 4
    assert lists["rank"].to_list() == [1, 2, 3, 4] * 2


def test_an_unknown_user_is_answered_with_a_note(model):
    done = segue("recommend", model, "--users", "nobody", "-k", "2")
    assert done.returncode == 0
    assert "note" in done.stderr
    assert "not in the log" in done.stderr


def test_compare_puts_models_side_by_side(model, files):
    assert segue("train", files / "events.csv", "--out", files / "other", "--recommender", "FirstOrder").returncode == 0
    done = segue("compare", model, files / "other")
    assert done.returncode == 0, done.stderr
    assert "difference" in done.stdout


def test_inspect_tells_what_is_in_the_log(files, log):
    done = segue("inspect", files / "events.csv", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["events"] == log.height
    assert facts["users"] == 60


def test_settings_come_from_a_file_and_set_wins(files):
    (files / "c.toml").write_text(
        'recommender = "EASE"\n[settings]\nregularisation = 10.0\n[cleaning]\nmin_user_events = 6\n'
    )
    done = segue(
        "train", files / "events.csv", "--out", files / "c", "--config", files / "c.toml", "--set", "regularisation=7"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((files / "c" / "manifest.json").read_text())["config"]["regularisation"] == 7
    assert "user below the k-core" in done.stdout


def test_an_ensemble_is_trained_from_a_file_or_from_set(files):
    (files / "ensemble.toml").write_text(
        'recommender = "Ensemble"\n[settings]\naverage = "rank"\n'
        '[[settings.members]]\nrecommender = "EASE"\nregularisation = 10.0\nweight = 2.0\n'
        '[[settings.members]]\nrecommender = "FirstOrder"\n'
    )
    events = files / "events.csv"
    done = segue("train", events, "--out", files / "e", "--config", files / "ensemble.toml")
    assert done.returncode == 0, done.stderr
    given = 'members=[{recommender="EASE", regularisation=10.0, weight=2.0}, "FirstOrder"]'
    whole = ("--recommender", "Ensemble", "--set", given, "--set", "average=rank")
    assert segue("train", events, "--out", files / "f", *whole).returncode == 0
    configs = [json.loads((files / name / "manifest.json").read_text())["config"] for name in ("e", "f")]
    assert configs[0] == configs[1]
    assert configs[0]["members"][0]["settings"] == {"regularisation": 10}
    assert segue("recommend", files / "e", "--users", "u1", "-k", "3").returncode == 0
    of_none = ("train", events, "--out", files / "x", "--recommender", "Ensemble", "--set", "members=[]")
    refused(segue(*of_none), "C002", "members")


def test_columns_are_mapped(files, log):
    log.rename({"user_id": "uid", "item_id": "sku"}).write_csv(files / "theirs.csv")
    columns = "user_id=uid,item_id=sku"
    done = segue("train", files / "theirs.csv", "--out", files / "m", "--recommender", "Popular", "--columns", columns)
    assert done.returncode == 0, done.stderr


def test_a_seed_is_taken_and_the_same_seed_gives_the_same_model(files):
    hashes = []
    for name, seed in (("s1", 3), ("s2", 3), ("s3", 4)):
        done = segue("train", files / "events.csv", "--out", files / name, "--seed", seed, "--split", "none", *TINY)
        assert done.returncode == 0, done.stderr
        entries = json.loads((files / name / "manifest.json").read_text())["files"]
        hashes.append(entries["weights"]["sha256"])
    assert hashes[0] == hashes[1] != hashes[2]


def test_mistakes_end_in_one_message_with_a_code(files, model):
    events = files / "events.csv"
    refused(segue("train", files / "none.csv", "--out", files / "x"), "D001", "no such file")
    refused(segue("train", events, "--out", files / "x", "--set", "epoks=3"), "C001", "'epochs'")
    refused(segue("train", events, "--out", files / "x", "--set", "epochs=many"), "C002", "epochs")
    refused(segue("train", events, "--out", files / "x", "--set", "epochs"), "C004", "--set")
    refused(segue("train", events, "--out", files / "x", "--recommender", "EASY"), "C001", "EASE")
    refused(segue("train", events, "--out", files / "x", "--columns", "user_id=who"), "D004", "user_id")
    refused(segue("train", events, "--out", files), "A005")
    refused(segue("evaluate", files), "A001", "manifest.json")
    refused(segue("recommend", model), "R002")
    refused(segue("recommend", model, "--users", "u1", "-k", "0"), "R003")
    refused(segue("recommend", model, "--users", "u1", "--out", files / "x.xlsx"), "C012", ".xlsx")
    refused(segue("fetch", "ml-100"), "F001", "ml-100k")
    assert not (files / "x").exists()


def test_a_model_saved_without_a_test_says_so(files):
    assert (
        segue(
            "train", files / "events.csv", "--out", files / "n", "--recommender", "Popular", "--split", "none"
        ).returncode
        == 0
    )
    refused(segue("evaluate", files / "n"), "E002", "without a test")


@pytest.mark.parametrize("verb", ["fetch", "inspect", "train", "tune", "evaluate", "recommend", "compare"])
def test_every_verb_explains_itself_with_an_example(verb):
    done = segue(verb, "--help")
    assert done.returncode == 0
    assert f"segue {verb}" in done.stdout.replace("\n", " ")


def test_help_loads_no_torch():
    code = """
import sys
sys.argv = ['segue', '--help']
from segue.cli.main import run
from segue.data.frames import to_polars
from segue.recommenders.store import load
try:
    run()
except SystemExit:
    pass
assert not {'torch', 'optuna', 'tensorboard'} & set(sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_recommend_takes_a_moment_and_kinds_of_action(model, files):
    asked = ("recommend", model, "--users", "u1", "-k", 2, "--out", files / "kinds.csv")
    done = segue(*asked, "--at", "2030-05-01 18:00", "--action", "view, purchase")
    assert done.returncode == 0, done.stderr
    assert pl.read_csv(files / "kinds.csv")["action"].to_list() == ["view"] * 2 + ["purchase"] * 2
    assert segue(*asked, "--at", "now").returncode == 0
    refused(segue(*asked, "--at", "teatime"), "R008", "teatime")
    refused(segue(*asked, "--action", "vieuw"), "R009", "'view'")


def test_many_users_are_each_asked_about_a_moment_of_their_own(model, files):
    table = pl.DataFrame({"user_id": ["u1", "u2", "u1"], "at": ["2030-05-01", "2020-01-01", None]})
    table.write_csv(files / "tonight.csv")
    done = segue("recommend", model, "--users-file", files / "tonight.csv", "-k", 2, "--out", files / "many.parquet")
    assert done.returncode == 0, done.stderr
    assert "1 of 3 requests are for a moment before their history begins" in done.stderr
    assert pl.read_parquet(files / "many.parquet")["user_id"].to_list() == ["u1"] * 2 + ["u2"] * 2 + ["u1"] * 2
    pl.DataFrame({"who": ["u1"]}).write_csv(files / "who.csv")
    refused(segue("recommend", model, "--users-file", files / "who.csv"), "D003", "user_id")


def test_histories_of_a_file_are_asked_about_their_column_at(model, files):
    rows = {"user_id": ["n", "n", "o"], "item_id": ["i1", "i2", "i3"], "timestamp": [1_600_000_000] * 3}
    frame = pl.DataFrame(rows).with_columns(at=pl.Series(["2020-09-20", "2020-09-21", "2019-01-01"]))
    frame.write_csv(files / "asked.csv")
    done = segue("recommend", model, "--histories", files / "asked.csv", "-k", 2)
    assert done.returncode == 0, done.stderr
    assert "1 of 2 requests" in done.stderr


def test_train_takes_a_time_zone_and_refuses_one_that_does_not_exist(files):
    asked = ("train", files / "events.csv", "--out", files / "z", "--recommender", "Popular", "--time-zone")
    assert segue(*asked, "Europe/Rome").returncode == 0
    refused(segue(*asked, "Europe/Roma"), "D014", "Europe/Rome")


def test_ablate_prints_what_each_part_is_worth_and_writes_the_table_alone(files):
    done = segue("train", files / "events.csv", "--ablate", "behaviour", "--out", files / "worth.csv", *TINY)
    assert done.returncode == 0, done.stderr
    assert "all of behaviour" in done.stdout
    assert pl.read_csv(files / "worth.csv")["part"].to_list() == ["actions", "values", "all of behaviour"]
    assert not list(files.glob(".worth*"))
    refused(segue("train", files / "events.csv", "--ablate", "tim", *TINY), "C001", "'time'")
    refused(segue("train", files / "events.csv", "--ablate", "time", "--recommender", "EASE"), "C002", "EASE")
    refused(segue("train", files / "events.csv", "--ablate", "time", "--out", files / "w.xlsx"), "C012", ".xlsx")
    assert segue("train", files / "events.csv").returncode == 2


def test_a_model_of_one_kind_is_split_evaluated_and_compared_by_it(files):
    done = segue("train", files / "events.csv", "--out", files / "buys", "--set", "target=view", *TINY)
    assert done.returncode == 0, done.stderr
    done = segue("evaluate", files / "buys", "--no-baselines", "--json", files / "buys.json")
    assert done.returncode == 0, done.stderr
    assert "targets are view events" in done.stdout
    assert json.loads((files / "buys.json").read_text())["protocol"]["action"] == "view"
    refused(segue("train", files / "events.csv", "--out", files / "x", "--set", "target=veiw", *TINY), "R009", "'view'")


def test_a_language_ranker_is_trained_from_toml_and_shown_beside_its_base_with_its_answers(files):
    words = tiny_model(files / "words", "bert")
    plan = files / "ranker.toml"
    told = f'model = "{words}"\nexamples = 16\ncandidates = 5\ntuning = "frozen"'
    plan.write_text(
        f'recommender = "LanguageRanker"\n[settings]\n{told}\n[settings.base]\nrecommender = "FirstOrder"\n'
    )
    events, items, out = files / "events.csv", files / "items.parquet", files / "ranker"
    done = segue("train", events, "--items", items, "--config", plan, "--set", "seed=3", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "Saved LanguageRanker" in done.stdout
    shown = segue("evaluate", out, "--no-baselines", "--json", files / "ranker.json")
    assert shown.returncode == 0, shown.stderr
    for word in ("LanguageRanker", "FirstOrder", "auc", "log_loss", "f1", "Calibration"):
        assert word in shown.stdout
    found = json.loads((files / "ranker.json").read_text())
    assert set(found["beside"]) == {"FirstOrder"}
    assert 0 <= found["answers"]["figures"]["auc"] <= 1
    listed = segue("recommend", out, "--users", "u1", "-k", "3")
    assert listed.returncode == 0, listed.stderr
