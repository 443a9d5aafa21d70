"""docs/json.md names the keys of every command's document, and each command writes one document and nothing else."""

import re
from pathlib import Path
from typing import Any

from tests.structure.sources import PROJECT
from tests.whole.site import Site
from tests.whole.tree import text, write

PAGE = (PROJECT / "docs" / "json.md").read_text(encoding="utf-8")
TABLE = dict(re.findall(r"(?m)^\| `([^`]+)` \| (.*) \|$", PAGE))
REPORT = re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", PAGE[PAGE.index("A report is") : PAGE.index("`cat` writes")]))


def documented(command: str) -> set[str]:
    """Return the keys that the page gives a command, those in brackets and of other commands resolved."""
    said = re.sub(r"\([^()]*\)", "", TABLE[command]).partition(";")[0]
    keys = set(re.findall(r"`(\w+)`", said))
    if said.startswith("a report"):
        keys |= set(REPORT)
    if said.startswith("those of `plan`"):
        keys = keys - {"plan"} | documented("plan")
    if said.startswith("those, and"):
        keys |= documented("gc")
    return keys


def test_every_document_has_the_keys_of_the_page(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    for number in range(3):
        write(str(site.root).encode() + b"/%d.txt" % number, text(number, 20_000))
    site.init()
    root, one, plan = str(site.root), f"{site.root}/1.txt", str(site.base / "it.plan")
    asked = {
        "estimate": (root,), "init": (), "scan": (), "plan": (), "migrate": (root, "--to", "standard"),
        "migrate --yes": (root, "--to", "standard", "--release"), "recall --quote": (root,), "recall": (one,),
        "restore": (root, "--to", str(site.base / "out")), "pin": (one,), "unpin": (one,), "apply": (plan,),
        "apply --yes": (plan,), "ls": (), "explain": (one,), "status": (), "cycle": (), "audit": (), "gc": (),
        "gc --yes": (), "scrub": (), "reconcile": (), "rebuild": (), "doctor": (), "leave": (), "simulate": (),
        "sensitivity": (), "prices show": (), "prices check": (), "config show": (), "db upgrade": (),
        "ledger verify": (),
    }  # fmt: skip
    assert asked.keys() == TABLE.keys()
    site.run("scan")
    site.run("plan", "--save", plan)
    for command, arguments in asked.items():
        found: Any = site.json(*command.split(), *arguments)
        assert set(found[0] if isinstance(found, list) else found) == documented(command), command
