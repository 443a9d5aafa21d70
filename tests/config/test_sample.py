"""The configuration that is written is complete and means what it was made from; quantities survive spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.structure.sources import PROJECT
from tiering.config import Config, parse_config
from tiering.config.quantities import parse_duration_ns, parse_size, say_duration, say_size
from tiering.config.sample import reference, render_config

FULL = """
act = true
[[roots]]
name = "data"
path = "/data with \\"quotes\\"/ü"
release_without_lease = "7d"
[[roots]]
name = "more"
path = "/more"
placeholder = "none"
[tiers.standard]
store = "s3://bucket/prefix"
bandwidth = "20MiB"
usd_per_gib_month = 0.02
[tiers.deep]
store = "s3://bucket/prefix"
storage_class = "DEEP_ARCHIVE"
[schedule]
cycle = "30 2 * * *"
[notify]
command = ["/usr/bin/logger", "-t", "frostline"]
"""
RULE = """
[[rules]]
name = "old"
match = ["runs/**", "*.pt"]
kind = "checkpoint"
keep_newest = 2
age = "14d"
owner = ["root", 1000]
tier = "deep"
"""


def test_a_written_configuration_reads_back_equal() -> None:
    config = parse_config(FULL + RULE, path="full", environ={}).config
    written = render_config(config)
    assert parse_config(written, path="written", environ={}).config == config


def test_a_written_configuration_has_every_key_once_and_commented() -> None:
    config = parse_config(FULL, path="full", environ={}).config
    lines = render_config(config).splitlines()
    for section_name, info in Config.model_fields.items():
        section = getattr(config, section_name)
        for name, field in getattr(type(section), "model_fields", {}).items():
            key = field.alias or name
            found = [number for number, line in enumerate(lines) if line.removeprefix("# ").startswith(f"{key} =")]
            assert found, f"{section_name}.{key} ({info.annotation}) is not in the sample"
            assert all(lines[number - 1].startswith("#") for number in found), key


@pytest.mark.parametrize("key", ["park_s", "grace", "url", "act"])
def test_keys_that_scripts_edit_stand_on_one_line(key: str) -> None:
    config = parse_config(FULL, path="full", environ={}).config
    lines = [line for line in render_config(config).splitlines() if line.startswith(f"{key} =")]
    assert len(lines) == 1


def test_the_reference_is_fresh() -> None:
    shown = (PROJECT / "docs" / "config.md").read_text(encoding="utf-8")
    assert shown == reference(), "run: make reference"


@given(st.integers(0, 10**7).map(lambda seconds: seconds * 10**9))
def test_durations_survive_spelling(duration_ns: int) -> None:
    assert parse_duration_ns(say_duration(duration_ns)) == duration_ns


@given(st.integers(0, 2**50))
def test_sizes_survive_spelling(size_bytes: int) -> None:
    assert parse_size(say_size(size_bytes)) == size_bytes
