"""The command line finds its command, keeps quick, and turns every outcome into a documented code and a sentence."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tiering.cli import INTERRUPTED
from tiering.cli import dispatch as cli
from tiering.cli.commands import COMMANDS, Command
from tiering.errors import UsageError

# Loading these costs a third of a second and more; commands that only look must not.
SLOW = {"boto3", "botocore", "numba", "llvmlite", "apscheduler.schedulers", "alembic", "tiering.jobs.reconcile"}

CRASH = """
import sys
from tiering.cli import main
from tiering.cli.commands import COMMANDS, Command

COMMANDS["crash"] = Command("tests.cli.crash", "for this test")
main(sys.argv[1:])
"""


def run(*args: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line in a child process."""
    return subprocess.run([sys.executable, "-m", "tiering.cli", *args], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "command", "args", "config", "as_json"),
    [
        (["ls"], "ls", (), None, False),
        (["--json", "ls", "/x"], "ls", ("/x",), None, True),
        (["ls", "/x", "--json", "--config", "f"], "ls", ("/x",), "f", True),
        (["--config=f", "config", "show"], "config show", (), "f", False),
        (["ls", "--", "--json"], "ls", ("--", "--json"), None, False),
        (["help", "ledger", "verify"], "ledger verify", ("--help",), None, False),
        (["--help"], "", (), None, False),
        ([], "", (), None, False),
    ],
)
def test_global_options_may_stand_anywhere(
    words: list[str], command: str, args: tuple[str, ...], config: str | None, as_json: bool
) -> None:
    assert cli.parse(words) == cli.Invocation(command, args, config, as_json)


@pytest.mark.parametrize(
    ("words", "hint"),
    [(["migrat"], "frostline migrate"), (["config"], "config show"), (["--frob"], "--help"), (["zzz"], "--help")],
)
def test_an_unknown_word_gets_a_hint(words: list[str], hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        cli.parse(words)
    assert hint in caught.value.hint


def test_every_command_has_a_summary_two_examples_and_help() -> None:
    for name, command in COMMANDS.items():
        assert command.summary
        module = __import__(command.module, fromlist=["run"])
        assert len(module.EXAMPLES) >= 2, name
        assert all("frostline" in example for example in module.EXAMPLES), name
        assert module.run.__doc__, name


def test_the_overview_needs_no_installation_and_lists_every_command() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)
    assert run().returncode == UsageError.exit_code


@pytest.mark.parametrize("words", [["--frob"], ["ls", "--frob"], ["migrate"], ["migrate", "/x"], ["--config"]])
def test_usage_errors_are_a_sentence_and_two(words: list[str]) -> None:
    done = run(*words)
    assert done.returncode == UsageError.exit_code
    assert done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["ls", "status", "config show"])
def test_commands_that_look_load_no_heavy_library(command: str) -> None:
    module = COMMANDS[command].module
    code = f"import sys, tiering.cli.dispatch, {module}; print([name for name in {SLOW!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_loads_no_database_library() -> None:
    code = "import sys; from tiering.cli.dispatch import overview; overview(); print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_bug_is_a_sentence_with_the_way_to_report_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(COMMANDS, "crash", Command("tests.cli.crash", "for this test"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert cli.run(["crash"]) == 1
    said = capsys.readouterr().err
    assert "this is a bug in frostline: ZeroDivisionError" in said
    assert "Traceback" not in said
    assert "ZeroDivisionError" in next(tmp_path.glob("frostline-bug-*")).read_text()


def test_a_library_that_cannot_be_loaded_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(COMMANDS, "crash", Command("tests.cli.crash", "for this test"))
    assert cli.run(["crash", "--how", "import"]) == 1
    said = capsys.readouterr().err
    assert "cannot be loaded: no such machine" in said
    assert "llvmlite" in said.splitlines()[-1]


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(COMMANDS, "crash", Command("tests.cli.crash", "for this test"))
    assert cli.run(["crash", "--how", "interrupt"]) == INTERRUPTED
    assert "goes on where it stopped" in capsys.readouterr().err


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    line = f"{sys.executable} -m tiering.cli --help | true"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_version_is_printed() -> None:
    assert run("--version").stdout.startswith("frostline ")


def test_json_stays_one_document_for_names_that_are_not_text(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "plain").write_bytes(b"x")
    with open(bytes(root) + b"/\xff\xfe\n", "wb") as file:
        file.write(b"y")
    config = ["--config", str(tmp_path / "f.toml")]
    made = run(*config, "init", "--root", str(root), "--store", f"file://{tmp_path}/s", "--state", str(tmp_path / "st"))
    assert made.returncode == 0
    assert run(*config, "scan").returncode == 0
    rows = json.loads(run(*config, "--json", "ls").stdout)
    assert sorted(row["path"].encode("utf-8", "surrogateescape") for row in rows) == sorted(
        [bytes(root) + b"/plain", bytes(root) + b"/\xff\xfe\n"]
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_trouble_and_no_file_takes_their_place(tmp_path: Path, closed: str) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/file").write_bytes(b"x")
    frostline = f"{sys.executable} -m tiering.cli --config {tmp_path}/f.toml"
    places = f"--root {tmp_path}/root --store file://{tmp_path}/s --state {tmp_path}/st"
    line = f"{frostline} init {places} {closed} && {frostline} migrate {tmp_path}/root --to standard --yes {closed}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""
    assert run("--config", f"{tmp_path}/f.toml", "audit").returncode == 0


def test_an_error_goes_not_to_standard_output_where_the_other_is_closed() -> None:
    line = f"{sys.executable} -m tiering.cli migrat 2>&-"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (UsageError.exit_code, "")


@pytest.mark.parametrize("words", [["--help"], ["crash", "--how", "output"]])
def test_an_answer_that_cannot_be_written_is_told(words: list[str]) -> None:
    with open("/dev/full", "w", encoding="ascii") as full:
        argv = [sys.executable, "-c", CRASH, *words]
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("the answer cannot be written to standard output: No space left on device\n  now:")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["--json", "restore"], ["buckets", "apply", "--frob"]])
def test_a_usage_error_names_the_command(words: list[str]) -> None:
    command = " ".join(word for word in words if not word.startswith("-"))
    assert run(*words).stderr.endswith(f"  next: frostline {command} --help\n")
