"""Matches root-relative paths against glob patterns.

`?` and `*` stay within one folder, `**` crosses folders, `[abc]`, `[a-z]`, `[!a]` are sets. A pattern without a slash
is a file name in any folder ("*.pt"); one with a slash is anchored at the root ("runs/*/log.txt"); a trailing slash
means all that is below ("raw/"); a leading slash anchors a plain name at the root ("/README"). Case matters.
"""

import re
from functools import lru_cache


class GlobError(ValueError):
    """The pattern cannot be meant."""


@lru_cache(maxsize=1024)
def compile_glob(pattern: str) -> re.Pattern[str]:
    """Return a regular expression for whole paths. Raises GlobError on an empty pattern or an open set."""
    if not pattern or pattern == "/":
        raise GlobError("a glob must not be empty")
    anchored = pattern
    if "/" not in anchored:
        anchored = "**/" + anchored
    if anchored.endswith("/"):
        anchored += "**"
    return re.compile(_translate(anchored.lstrip("/"), pattern), re.DOTALL)


def matches(pattern: str, path: str) -> bool:
    """Return whether *path* (no leading slash; surrogate escapes for non-UTF-8 bytes) matches."""
    return compile_glob(pattern).fullmatch(path) is not None


def _translate(glob: str, original: str) -> str:
    parts: list[str] = []
    at = 0
    while at < len(glob):
        if glob.startswith("**/", at) and (at == 0 or glob[at - 1] == "/"):
            parts.append("(?:[^/]+/)*")
            at += 3
        elif glob.startswith("**", at):
            parts.append(".*")
            at += 2
        elif glob[at] == "*":
            parts.append("[^/]*")
            at += 1
        elif glob[at] == "?":
            parts.append("[^/]")
            at += 1
        elif glob[at] == "[":
            expression, at = _set(glob, at, original)
            parts.append(expression)
        else:
            parts.append(re.escape(glob[at]))
            at += 1
    return "".join(parts)


def _set(glob: str, start: int, original: str) -> tuple[str, int]:
    first = start + 1
    negated = glob.startswith(("!", "^"), first)
    first += negated
    end = glob.find("]", first + 1)  # a ] right at the front is a member
    if end < 0:
        raise GlobError(f'"{original}": the set that opens at character {start + 1} is not closed')
    members = _members(glob[first:end])
    try:
        re.compile(f"[{members}]")
    except re.error as error:
        raise GlobError(f'"{original}": {glob[start : end + 1]} is not a set: {error}') from error
    return f"(?!/)[{'^' if negated else ''}{members}]", end + 1


def _members(said: str) -> str:
    """Return the members of a set as re wants them: hyphens in a row, which re reserves, stand for themselves."""
    runs = re.split("(-{2,})", said)
    return "".join("\\-" if set(run) == {"-"} and len(run) > 1 else re.escape(run).replace("\\-", "-") for run in runs)
