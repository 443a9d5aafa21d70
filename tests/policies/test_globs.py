"""Glob patterns on root-relative paths, whatever bytes these are made of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.globs import GlobError, compile_glob, matches
from policies.values import raw, text


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.pt", "a.pt", True),
        ("*.pt", "runs/x/a.pt", True),
        ("/*.pt", "runs/a.pt", False),
        ("/*.pt", "a.pt", True),
        ("runs/*.pt", "runs/a.pt", True),
        ("runs/*.pt", "runs/x/a.pt", False),
        ("runs/**/*.pt", "runs/a.pt", True),
        ("runs/**/*.pt", "runs/x/y/a.pt", True),
        ("runs/**", "runs/x/y", True),
        ("runs/**", "runs", False),
        ("runs/", "runs/x/y", True),
        ("**/tmp/**", "tmp/a", True),
        ("**/tmp/**", "a/b/tmp/c/d", True),
        ("**/tmp/**", "a/tmpx/c", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("a[b-d]c", "acc", True),
        ("a[!b-d]c", "acc", False),
        ("a[!x]c", "a/c", False),
        ("a[]]c", "a]c", True),
        ("*.PT", "a.pt", False),
        ("a.b", "axb", False),
        ("*", "line\nbreak", True),
        ("*.pt", "\udcff\udcfe.pt", True),
        ("a*b", "a\\b", True),
    ],
)
def test_globs_match_as_documented(pattern: str, path: str, expected: bool) -> None:
    assert matches(pattern, path) is expected


@pytest.mark.parametrize("pattern", ["", "/", "a[bc", "a[z-a]"])
def test_globs_that_cannot_be_meant_are_refused(pattern: str) -> None:
    with pytest.raises(GlobError):
        compile_glob(pattern)


@given(st.binary(min_size=1, max_size=30).filter(lambda name: b"/" not in name))
def test_any_bytes_survive_text_and_match_everything(name: bytes) -> None:
    assert raw(text(name)) == name
    assert matches("**", text(name))
    assert matches("*", text(name))


@given(st.text(alphabet="ab/*?[]!-.", min_size=1, max_size=12), st.text(alphabet="ab/.", max_size=12))
def test_a_pattern_either_compiles_or_is_refused_in_words(pattern: str, path: str) -> None:
    try:
        matched = matches(pattern, path)
    except GlobError:
        matched = False

    assert matched in {True, False}
