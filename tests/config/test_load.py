"""The configuration refuses what cannot be meant, with a sentence that names the field and the value."""

from pathlib import Path

import pytest

from dedup.codecs import level_given
from dedup.errors import UnknownName
from tiering.config import find_config, load_config, parse_config
from tiering.config.sections import ChunkingConfig
from tiering.errors import ConfigError

SMALLEST = """
[[roots]]
name = "data"
path = "/data"
[tiers.standard]
store = "file:///cold"
"""


def refusal(text: str) -> str:
    """What is said about *text*."""
    with pytest.raises(ConfigError) as caught:
        parse_config(text, path="f.toml", environ={})
    assert caught.value.exit_code == 2
    return caught.value.what


def test_the_smallest_configuration_has_every_value() -> None:
    config = parse_config(SMALLEST, path="f.toml", environ={}).config
    assert config.act is False
    assert config.roots[0].path_bytes == b"/data"
    assert config.gc.grace_ns == 72 * 3600 * 10**9
    assert config.metadata_tier == "standard"
    assert config.tiers["standard"].is_local


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ('[[rules]]\nname = "x"\nidle = "-3d"\n', 'rules[0].idle: must be positive (got "-3d")'),
        ('[gc]\ngrace = "7x"\n', "gc.grace: must be a duration"),
        ("[gc]\ngrace = 7\n", "gc.grace: must be a duration"),
        ('[chunking]\npack_bytes = "64MB"\n', "chunking.pack_bytes: must be a size"),
        ('[chunking]\neffort = "heroic"\n', "chunking.effort: "),
        ("[recal]\n", 'recal: unknown key (did you mean "recall"?)'),
        ("[recall]\nreserve_fracton = 0.1\n", 'recall.reserve_fracton: unknown key (did you mean "reserve_fraction"?)'),
        ('[metadata]\ntier = "nowhere"\n', 'metadata.tier: there is no tier "nowhere" (there are standard)'),
        ('[[rules]]\nname = "x"\ntier = "cellar"\n', 'rules[0].tier: there is no tier "cellar"'),
        ('[[rules]]\nname = "x"\nmatch = "a[b"\n', "rules[0].match: "),
        ('[[rules]]\nname = "x"\npin = true\ntier = "standard"\n', "rules[0]: pin = true keeps files hot"),
        ('[[roots]]\nname = "data"\npath = "/other"\n', 'two roots are called "data"'),
        ('[[roots]]\nname = "b"\npath = "relative"\n', 'roots[1].path: must be an absolute path (got "relative")'),
        ('[[roots]]\nname = "a/b"\npath = "/b"\n', "roots[1].name: must be 1 to 64 letters"),
        ('[tiers.hot]\nstore = "file:///x"\n', '"hot" is the SSD itself'),
        ('[tiers.b]\nstore = "ftp://x"\n', "tiers.b.store: must be file:///dir or s3://bucket/prefix"),
        ('[tiers.b]\nstore = "file://x"\n', "tiers.b.store: needs an absolute path"),
        ('[schedule]\ncycle = "61 * * * *"\n', "schedule.cycle: "),
        ('[schedule]\ntimezone = "Mars/Base"\n', "schedule.timezone: must be a zone"),
        ('[metadata]\nstorage_class = "GLACIER"\n', "metadata.storage_class: must be a class that reads at once"),
    ],
)
def test_a_bad_value_is_named_with_its_place(added: str, said: str) -> None:
    assert said in refusal(SMALLEST + added)


def test_every_fault_is_listed_at_once() -> None:
    said = refusal("colour = 1\n" + SMALLEST + '[gc]\ngrace = "x"\n')
    assert "colour: unknown key" in said
    assert "gc.grace" in said


def test_a_tier_is_needed() -> None:
    assert "at least one [tiers.NAME] is needed" in refusal("[tiers]\n")


def test_archive_tiers_come_last() -> None:
    text = '[tiers.deep]\nstore = "s3://b/p"\nstorage_class = "DEEP_ARCHIVE"\n' + SMALLEST
    assert "from the warmest to the coldest" in refusal(text)


def test_malformed_toml_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("act = false\n[[[nonsense")
    with pytest.raises(ConfigError, match="line 2") as caught:
        load_config(str(path))
    assert str(path) in caught.value.what


def test_a_missing_file_names_the_command_that_writes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(str(tmp_path / "none.toml"))
    assert "frostline init" in caught.value.hint


def test_bytes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(b"# \xff\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(str(path))


def test_the_search_order_is_option_environment_user(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "FROSTLINE_CONFIG": "/from/environment.toml"}
    assert find_config("/given.toml", environ) == "/given.toml"
    assert find_config(None, environ) == "/from/environment.toml"
    del environ["FROSTLINE_CONFIG"]
    user = tmp_path / ".config" / "frostline" / "frostline.toml"
    user.parent.mkdir(parents=True)
    user.touch()
    assert find_config(None, environ) in {str(user), "/etc/frostline/frostline.toml"}


def test_every_value_knows_where_it_came_from() -> None:
    environ = {"FROSTLINE_CATALOG_URL": "postgresql://u:secret@h/db"}
    loaded = parse_config(SMALLEST + "[release]\npark_s = 0\n", path="f.toml", environ=environ)
    assert loaded.origins["release.park_s"] == "file"
    assert loaded.origins["catalog.url"] == "FROSTLINE_CATALOG_URL"
    assert loaded.origins["roots[0].path"] == "file"
    assert "gc.grace" not in loaded.origins
    assert loaded.config.catalog.url == "postgresql://u:secret@h/db"


@pytest.mark.parametrize("codec", ["raw", "zstd:1", "zstd:22"])
def test_a_codec_may_be_prescribed_by_pattern_and_dedup_knows_it(codec: str) -> None:
    assert ChunkingConfig(codecs={"*.log": codec}).codecs == {"*.log": codec}
    level_given(codec)


@pytest.mark.parametrize("codec", ["", "zstd", "zstd:0", "zstd:23", "lz4", "delta-1:bf16", "planes-1"])
def test_p8_what_cannot_be_prescribed_gets_a_sentence(codec: str) -> None:
    with pytest.raises(ValueError, match="cannot be prescribed"):
        ChunkingConfig(codecs={"*.log": codec})
    with pytest.raises(UnknownName):
        level_given(codec)
