"""What belongs together moves together: shards, checkpoint folders, dataset versions; and their colder parts."""

import pytest

from policies.judging import judge
from policies.rules import Rule
from policies.units import OPTIMIZER, WEIGHTS, is_final, part_of, step_of, top_of, unit_of
from policies.values import FileFacts, Residency
from tests.policies.facts import NOW_NS, TIERS, fact

IDLE = Rule(name="idle", target="standard", idle_ns=30 * 86_400 * 10**9)


def split(path: str) -> tuple[bytes, bytes]:
    folder, slash, name = path.rpartition("/")
    return (folder + slash).encode(), name.encode()


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("run/checkpoint-500/model.safetensors", "run/checkpoint-500/"),
        ("run/checkpoint-500/global_step500/zero_pp_rank_0.pt", "run/checkpoint-500/"),
        ("models/model-00001-of-00004.safetensors", "models/model.safetensors"),
        ("models/model-00002-of-00004.safetensors", "models/model.safetensors"),
        ("sets/v2/train/a.parquet", "sets/v2/"),
        ("sets/v2/notes.txt", "sets/v2/notes.txt"),
        ("sets/train-00003-of-00064.parquet", "sets/train.parquet"),
        ("a/b.bin", "a/b.bin"),
    ],
)
def test_a_unit_is_told_by_names(path: str, unit: str) -> None:
    assert unit_of(*split(path)) == unit.encode()
    assert unit.encode().startswith(top_of(split(path)[0]))


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("checkpoint-5/optimizer.pt", OPTIMIZER),
        ("checkpoint-5/model.safetensors", WEIGHTS),
        ("checkpoint-5/global_step5/zero_pp_rank_0_mp_rank_00_optim_states.pt", OPTIMIZER),
        ("checkpoint-5/rng_state_3.pth", OPTIMIZER),
        ("checkpoint-5/config.json", ""),
        ("run/optimizer.bin", OPTIMIZER),
        ("run/data.parquet", ""),
    ],
)
def test_optimizer_state_is_told_from_weights(path: str, part: str) -> None:
    assert part_of(*split(path)) == part


@pytest.mark.parametrize(
    ("path", "step"),
    [
        ("run/checkpoint-500/model.pt", 500),
        ("run/step_000900.pt", 900),
        ("run/epoch=3-step=4000.ckpt", 4000),
        ("run/epoch=3.ckpt", 3),
        ("run/model.pt", None),
        ("run/model-00001-of-00004.bin", None),
    ],
)
def test_the_step_is_the_folders_or_the_names(path: str, step: int | None) -> None:
    assert step_of(*split(path)) == step


def test_the_final_one_is_called_so() -> None:
    for path in ("run/model_final.pt", "run/last.ckpt", "run/checkpoint-final/model.pt", "run/last-v1.ckpt"):
        assert is_final(*split(path)), path
    for path in ("run/finalists.csv", "run/lastly.pt", "final/deep/model.pt"):
        assert not is_final(*split(path)), path


def targets(files: list[FileFacts], *rules: Rule) -> dict[str, str]:
    return {facts.path: judged.target for facts, judged in judge(files, rules, NOW_NS, tiers=TIERS, wishes={})}


def test_a_shard_that_was_read_holds_its_checkpoint() -> None:
    shards = [fact(f"m/model-0000{i}-of-00003.bin", read=1 if i == 2 else 90) for i in (1, 2, 3)]
    other = fact("m/other.bin", read=90)
    found = targets([*shards, other], IDLE)

    assert {path for path, target in found.items() if target != "hot"} == {"m/other.bin"}


def test_what_no_rule_would_move_holds_nobody() -> None:
    found = targets([fact("checkpoint-5/a.pt", read=90), fact("checkpoint-5/b.txt", read=1)],
                    Rule(name="pt", target="standard", match=("**/*.pt",), idle_ns=1))  # fmt: skip
    assert found["checkpoint-5/a.pt"] == "standard"


def test_a_small_file_that_stays_holds_nobody() -> None:
    small = Rule(name="small", target="hot", smaller_than_bytes=4096)
    found = targets([fact("checkpoint-5/a.pt", read=90), fact("checkpoint-5/c.json", read=90, size=10)], small, IDLE)

    assert found == {"checkpoint-5/a.pt": "standard", "checkpoint-5/c.json": "hot"}


def test_a_pinned_member_holds_its_unit_across_folders() -> None:
    files = [fact("checkpoint-5/a.pt", is_pinned=True), fact("checkpoint-5/global_step5/b.pt")]
    assert set(targets(files, Rule(name="pin", target="hot", pinned=True), IDLE).values()) == {"hot"}


def test_a_member_under_way_holds_its_unit_and_an_offline_one_does_not() -> None:
    busy = [fact("checkpoint-5/a.pt", residency=Residency.BUSY), fact("checkpoint-5/b.pt")]
    away = [fact("checkpoint-5/a.pt", residency=Residency.OFFLINE, tier="standard"), fact("checkpoint-5/b.pt")]

    assert targets(busy, IDLE)["checkpoint-5/b.pt"] == "hot"
    assert targets(away, IDLE)["checkpoint-5/b.pt"] == "standard"


def test_the_parts_of_a_checkpoint_may_lie_on_different_tiers_and_a_part_on_one() -> None:
    colder = Rule(name="optim", target="archive", parts=(OPTIMIZER,), idle_ns=1)
    old = Rule(name="old", target="archive", idle_ns=200 * 86_400 * 10**9)
    files = [
        fact("checkpoint-5/optimizer.pt", read=90),
        fact("checkpoint-5/model-1.pt", read=90),
        fact("checkpoint-5/model-2.pt", read=300),
    ]
    assert targets(files, colder, old, IDLE) == {
        "checkpoint-5/optimizer.pt": "archive",
        "checkpoint-5/model-1.pt": "standard",
        "checkpoint-5/model-2.pt": "standard",
    }


def test_every_kth_the_best_and_the_final_stay() -> None:
    rule = Rule(name="keep", target="standard", keep_every=1000, keep_best=1, keep_final=True)
    files = [
        fact(f"run/step-{step}.pt", best_ranks=(("keep", rank),)) for step, rank in ((500, 1), (1000, 2), (1500, 0))
    ]
    found = targets([*files, fact("run/model_final.pt")], rule)

    assert found == {
        "run/step-500.pt": "standard",
        "run/step-1000.pt": "hot",
        "run/step-1500.pt": "hot",
        "run/model_final.pt": "hot",
    }


def test_each_rule_keeps_the_best_by_its_own_metric() -> None:
    ranks = {500: (("loss", 0), ("score", 2)), 1000: (("loss", 1), ("score", 1)), 1500: (("loss", 2), ("score", 0))}
    files = [fact(f"run/step-{step}.pt", best_ranks=best) for step, best in ranks.items()]
    loss = Rule(name="loss", target="hot", keep_best=1)
    score = Rule(name="score", target="standard", keep_best=1)

    assert targets(files, loss, score) == {
        "run/step-500.pt": "hot",
        "run/step-1000.pt": "standard",
        "run/step-1500.pt": "hot",
    }
