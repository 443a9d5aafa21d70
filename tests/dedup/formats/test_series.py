"""Steps and series are read off paths as people write them."""

import pytest

from dedup.formats.series import is_kept_whole, series_key, step_of


@pytest.mark.parametrize(
    ("path", "step"),
    [
        (b"ckpt_00480.pt", 480),
        (b"run/model_00480.safetensors", 480),
        (b"run/checkpoint-480/model.safetensors", 480),
        (b"run/checkpoint-480/model-00001-of-00004.safetensors", 480),
        (b"epoch=3-step=480.ckpt", 480),
        (b"logs/version_2/epoch=3-step=480.ckpt", 480),
        (b"run/global_step480/mp_rank_00_model_states.pt", 480),
        (b"run/global_step480/zero/pp_rank_0_mp_rank_01_optim_states.pt", 480),
        (b"iter_0000480/mp_rank_00/model_optim_rng.pt", 480),
        (b"epoch_7.pth", 7),
        (b"480.pt", 480),
        (b"net-e12.pth", 12),
        (b"model.safetensors", None),
        (b"model-00001-of-00004.safetensors", None),
        (b"llama-v2-7b-fp16.gguf", None),
        (b"wav2vec2.pt", None),
        (b"", None),
        (b"rank_3.pt", None),
        ("schönes_modell".encode(), None),
    ],
)
def test_a_step_is_read_off_a_path(path: bytes, step: int | None) -> None:
    assert step_of(path) == step


@pytest.mark.parametrize(
    "paths",
    [
        (b"a/ckpt_00040.pt", b"a/ckpt_00480.pt"),
        (b"a/ckpt_40.pt", b"a/ckpt_480.pt"),
        (b"r/checkpoint-40/optimizer.pt", b"r/checkpoint-480/optimizer.pt"),
        (b"epoch=1-step=40.ckpt", b"epoch=3-step=480.ckpt"),
        (b"g/global_step40/mp_rank_00.pt", b"g/global_step480/mp_rank_00.pt"),
    ],
)
def test_the_steps_of_a_run_share_a_key(paths: tuple[bytes, bytes]) -> None:
    assert series_key(paths[0]) == series_key(paths[1])


@pytest.mark.parametrize(
    "paths",
    [
        (b"a/ckpt_40.pt", b"b/ckpt_40.pt"),
        (b"checkpoint-4/model-00001-of-00002.safetensors", b"checkpoint-4/model-00002-of-00002.safetensors"),
        (b"checkpoint-4/model.safetensors", b"checkpoint-4/optimizer.pt"),
        (b"g/global_step40/mp_rank_00.pt", b"g/global_step40/mp_rank_01.pt"),
    ],
)
def test_other_runs_and_other_shards_do_not(paths: tuple[bytes, bytes]) -> None:
    assert series_key(paths[0]) != series_key(paths[1])


@pytest.mark.parametrize(
    "path", [b"best.pt", b"run/best/model.safetensors", b"model_final.pt", b"x/last.ckpt", b"LATEST"]
)
def test_what_is_read_most_is_kept_whole(path: bytes) -> None:
    assert is_kept_whole(path)


@pytest.mark.parametrize("path", [b"ckpt_40.pt", b"bestiary.pt", b"blast/ckpt.pt", b"finalize-1.pt", b"best/a/b/c.pt"])
def test_a_word_inside_another_counts_for_nothing(path: bytes) -> None:
    assert not is_kept_whole(path)
