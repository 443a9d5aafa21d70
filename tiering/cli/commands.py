"""Which commands there are: name -> module and summary, as data.

A module is imported when its command is called, and only then: `--help`, `ls` and `status` must not load boto3 or
numba.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """One entry."""

    module: str
    """Holds `run`, a typer command function that returns the exit code, and `EXAMPLES`."""
    summary: str
    """One line for the overview."""


COMMANDS: dict[str, Command] = {
    "estimate": Command("tiering.cli.estimate", "what dedup, compression and tiering would save here; read-only"),
    "init": Command("tiering.cli.init", "write a configuration, create the catalog, prepare stores and roots"),
    "scan": Command("tiering.cli.scan", "look at the trees and refresh the catalog"),
    "plan": Command("tiering.cli.plan", "show what would move, and why"),
    "apply": Command("tiering.cli.apply", "do exactly what a saved plan says"),
    "cycle": Command("tiering.cli.cycle", "one full pass: scan, plan, migrate, release, recalls, accrue"),
    "migrate": Command("tiering.cli.migrate", "copy files out to a tier, and release them if asked"),
    "recall": Command("tiering.cli.recall", "bring files back"),
    "restore": Command("tiering.cli.restore", "copy stored files to another folder, changing nothing"),
    "cat": Command("tiering.cli.cat", "write a stored file to standard output"),
    "status": Command("tiering.cli.status", "health and totals"),
    "ls": Command("tiering.cli.ls", "where each file is"),
    "explain": Command("tiering.cli.explain", "facts, rule, price arithmetic and verdict for one path"),
    "pin": Command("tiering.cli.pin", "keep files hot"),
    "unpin": Command("tiering.cli.unpin", "let the rules decide again"),
    "audit": Command("tiering.cli.audit", "reconcile ledger, catalog, store and disk; show what was saved"),
    "gc": Command("tiering.cli.gc", "reclaim what nobody needs in the stores"),
    "scrub": Command("tiering.cli.scrub", "read stored packs again and check every byte of them"),
    "reconcile": Command("tiering.cli.reconcile", "finish or undo what a dead process left half done"),
    "rebuild": Command("tiering.cli.rebuild", "recover the catalog from the store"),
    "doctor": Command("tiering.cli.doctor", "check the installation and say what to mend"),
    "leave": Command("tiering.cli.leave", "recall everything and remove every trace"),
    "simulate": Command("tiering.cli.simulate", "what would this have cost under each policy, against the optimum"),
    "sensitivity": Command("tiering.cli.sensitivity", "which assumption moves the bill most"),
    "buckets scan": Command("tiering.cli.buckets_scan", "look at buckets of other people's objects"),
    "buckets plan": Command("tiering.cli.buckets_plan", "which objects should change class or be taken in, priced"),
    "buckets apply": Command("tiering.cli.buckets_apply", "change the class of objects in place, or store them"),
    "buckets restore": Command("tiering.cli.buckets_restore", "put stored objects back into their bucket"),
    "buckets status": Command("tiering.cli.buckets_status", "buckets by class, and what their changes saved"),
    "tune": Command("tiering.cli.tune", "which thresholds the recorded history would choose, and what they would save"),
    "prices show": Command("tiering.cli.prices_show", "what a price book says, with dates and sources"),
    "prices check": Command("tiering.cli.prices_check", "whether price books are whole; their estimates"),
    "config show": Command("tiering.cli.config_show", "every value in force, and where it came from"),
    "db upgrade": Command("tiering.cli.db_upgrade", "bring the catalog's schema to this version"),
    "ledger verify": Command("tiering.cli.ledger_verify", "check the ledger's hash chain and balances"),
}
