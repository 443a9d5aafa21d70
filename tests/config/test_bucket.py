"""Buckets in the configuration: what is refused, with which sentence, and that a table survives being written."""

import pytest

from tiering.config import Config, parse_config
from tiering.config.sample import render_config
from tiering.errors import ConfigError

SMALLEST = '[tiers.standard]\nstore = "s3://vault/packs"\n'
BUCKET = '[[buckets]]\nname = "lake"\nurl = "s3://lake/data/"\n'


def parsed(text: str) -> Config:
    """Return the configuration in *text*."""
    return parse_config(text, path="test", environ={}).config


def test_a_bucket_is_looked_at_only_unless_said_otherwise() -> None:
    (bucket,) = parsed(SMALLEST + BUCKET).buckets
    assert (bucket.mode, bucket.bucket, bucket.prefix) == ("report", "lake", "data/")


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ('mode = "ingest"\n', "tier: mode = ingest needs the tier that objects are stored in"),
        ('mode = "ingest"\ntier = "cold"\n', 'buckets[0].tier: there is no tier "cold" (there are standard)'),
        ('tier = "standard"\n', "tier: is for mode = ingest only"),
        ("delete_originals = true\n", "delete_originals: is for mode = ingest only"),
        (
            'mode = "ingest"\ntier = "standard"\n[[buckets.rules]]\nname = "x"\nclass = "GLACIER"\n',
            "rules[0].class: is not for mode = ingest",
        ),
        ('schedule = "sometimes"\n', "buckets[0].schedule: must be a duration"),
        ('mode = "delete"\n', "buckets[0].mode: "),
        ('inventory = "manifest.json"\n', "buckets[0].inventory: must be an s3:// URL or an absolute path"),
        ("pays_within = 7\n", "buckets[0].pays_within: must be a duration"),
        ("min_gain = -1\n", "buckets[0].min_gain: "),
        ('colour = "red"\n', "buckets[0].colour: unknown key"),
        (
            '[[buckets.rules]]\nname = "x"\nclass = "FROZEN"\n',
            "buckets[0].rules[0].class: must be one of STANDARD, INTELLIGENT_TIERING",
        ),
        ('[[buckets.rules]]\nname = "x"\n', "rules[0].class: is needed"),
        (
            '[[buckets.rules]]\nname = "x"\nclass = "GLACIER"\n' * 2,
            'two rules are called "x"',
        ),
        (BUCKET, 'two buckets are called "lake"'),
        ('[[buckets]]\nname = "b"\nurl = "/data"\n', "buckets[1].url: must be s3://bucket or s3://bucket/prefix"),
        ('[[buckets]]\nname = "b"\nurl = "s3://lake/data/sub"\n', "s3://lake/data/sub is within buckets[0]"),
        ('[[buckets]]\nname = "b"\nurl = "s3://vault"\n', "s3://vault holds the store of tiers.standard"),
        ('[[buckets]]\nname = "b"\nurl = "s3://vault/packs/a"\n', "holds the store of tiers.standard"),
    ],
)
def test_what_cannot_be_meant_is_refused(added: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parsed(SMALLEST + BUCKET + added)
    assert said in error.value.sentence()


def test_keys_below_a_prefix_to_be_taken_in_are_paths() -> None:
    text = '[[buckets]]\nname = "lake"\nurl = "s3://lake/data"\nmode = "ingest"\ntier = "standard"\n'
    with pytest.raises(ConfigError, match='its prefix must end in "/"'):
        parsed(SMALLEST + text)


def test_p1_originals_are_not_deleted_for_copies_that_cannot_be_read_back() -> None:
    cold = '[tiers.cold]\nstore = "s3://vault/packs"\nstorage_class = "GLACIER"\n'
    text = 'mode = "ingest"\ntier = "cold"\ndelete_originals = true\n'
    with pytest.raises(ConfigError, match="cannot be read back before the originals go"):
        parsed(SMALLEST + cold + BUCKET + text)


def test_a_bucket_survives_being_written() -> None:
    rule = '[[buckets.rules]]\nname = "old"\nprefix = "raw/"\nidle = "30d"\nlarger_than = "1MiB"\nclass = "GLACIER"\n'
    more = 'mode = "transition"\nmin_gain = 0.01\npays_within = "90d"\naccess_logs = "s3://logs/lake/"\n'
    config = parsed(SMALLEST + BUCKET + more + rule)
    assert parsed(render_config(config)) == config
