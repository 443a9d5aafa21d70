"""Placement against the offline optimum: every strategy, five settings, real and artificial histories.

    python benchmarks/placement.py [--swim FILE] [--downloads FILE] [--histogram FILE] [--trace FILE ...]
                                   [--pipelines] [--objects 3000] [--policy NAME ...] [--setting NAME ...] [--json]

Without files: artificial histories only. --swim: SWIM workload, its day slowed down 60, 240 and 720 times; --downloads:
monthly counts, thinned to 1e-7, 1e-6 and 1e-5, the whole of it and its last two years; --histogram: files by number of
reads; --trace: any file `frostline simulate` reads; --pipelines: AI pipelines that no strategy was made on. Prints
cost / optimum per cell, geometric means and the worst.
"""

import argparse
import csv
import itertools
import json
import math
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from policies.costs import cost_table
from policies.offers import Terms, make_offers
from policies.optimum import optimum
from policies.simulator import simulate
from policies.strategies.registry import baselines, make_strategy
from policies.synthetic import SHAPES, from_histogram, synthetic
from policies.trace import Trace
from policies.workloads import WORKLOADS, workload
from tiering.config.price_books import load_book
from tiering.jobs.trace_files import read_downloads, read_swim, read_trace

INSTANT = ("STANDARD", "STANDARD_IA", "GLACIER_IR")
ARCHIVE = (*INSTANT, "GLACIER", "DEEP_ARCHIVE")
SETTINGS = {
    "instant": (INSTANT, Terms()),
    "with-int": ((*INSTANT, "INTELLIGENT_TIERING"), Terms()),
    "archive-12h": (ARCHIVE, Terms(longest_wait_h=12)),
    "archive-wait": (ARCHIVE, Terms(longest_wait_h=12, wait_usd_gib=0.03)),
    "hot-gp3": (INSTANT, Terms(hot="gp3", stall_usd_gib=0.0111)),
}
OURS = ("frequency", "ewma", "break-even", "expected-cost")
SEED = 1
PIPELINE_SEEDS = (1, 2, 3, 4)


def histories(arguments: argparse.Namespace) -> Iterator[tuple[str, str, Trace]]:
    """Yield (group, name, history)."""
    if arguments.swim:
        for stretch in (60, 240, 720):
            yield "swim", f"swim x{stretch}", read_swim(arguments.swim, stretch=stretch)
    if arguments.downloads:
        for keep in (1e-7, 1e-6, 1e-5):
            trace = read_downloads(arguments.downloads, keep=keep, seed=SEED, objects=arguments.objects)
            yield "downloads", f"downloads {keep:g}", trace
            yield "downloads-2y", f"downloads {keep:g} 2y", trace.between(trace.end_tick - 730, trace.end_tick)
    if arguments.histogram:
        with arguments.histogram.open(newline="") as file:
            rows = [(int(row["reads"]), int(row["readfrom"])) for row in csv.DictReader(file)]
        reads, files = np.array(rows).T
        yield "histogram", "histogram", from_histogram(reads, files, objects=arguments.objects, days=1460, seed=SEED)
    for path in arguments.trace:
        yield "trace", path.name, read_trace(path)
    yield from artificial(arguments)


def artificial(arguments: argparse.Namespace) -> Iterator[tuple[str, str, Trace]]:
    """Yield (group, name, history) of those that are made, as asked for."""
    if arguments.pipelines:
        for name, seed in itertools.product(WORKLOADS, PIPELINE_SEEDS):
            yield name, f"{name} {seed}", workload(name, objects=arguments.objects, seed=seed)
    if not arguments.no_artificial:
        for shape in SHAPES:
            yield "artificial", shape, synthetic(shape, objects=arguments.objects, days=1460, seed=SEED)


def measured(arguments: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Yield one row per history, setting and strategy."""
    book = load_book(arguments.prices)
    for group, name, trace in histories(arguments):
        for setting in arguments.setting or SETTINGS:
            classes, terms = SETTINGS[setting]
            offers = make_offers(book, classes, terms)
            table = cost_table(offers, trace.sizes, terms)
            least = float(optimum(trace, table).sum())
            for policy in dict.fromkeys([*baselines(offers), *(arguments.policy or OURS)]):
                begun = sum(os.times()[:2])
                outcome = simulate(trace, table, make_strategy(policy, offers, terms))
                yield {
                    "setting": setting, "group": group, "history": name, "policy": policy,
                    "usd": outcome.usd_total, "optimum_usd": least, "ratio": outcome.usd_total / least,
                    "reads": int(trace.counts.sum()), "objects": trace.objects, "recalls": outcome.recalls,
                    "cpu_s": sum(os.times()[:2]) - begun,
                }  # fmt: skip


def summary(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return per setting, group ("all" too) and policy the geometric mean and the worst ratio."""
    cells: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        for group in (str(row["group"]), "all"):
            cells.setdefault((str(row["setting"]), group, str(row["policy"])), []).append(float(str(row["ratio"])))
    return [
        {
            "setting": setting, "group": group, "policy": policy, "cells": len(ratios),
            "mean": math.exp(sum(map(math.log, ratios)) / len(ratios)), "worst": max(ratios),
        }
        for (setting, group, policy), ratios in cells.items()
    ]  # fmt: skip


def parsed() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--swim", "--downloads", "--histogram"):
        parser.add_argument(option, type=Path)
    parser.add_argument("--trace", type=Path, action="append", default=[])
    parser.add_argument("--policy", action="append")
    parser.add_argument("--setting", action="append", choices=list(SETTINGS))
    parser.add_argument("--objects", type=int, default=3000)
    parser.add_argument("--prices", default="aws-us-east-1")
    parser.add_argument("--pipelines", action="store_true")
    parser.add_argument("--no-artificial", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Run and print."""
    arguments = parsed()
    rows = []
    for row in measured(arguments):
        rows.append(row)
        if not arguments.json:
            cell = f"{row['ratio']:8.3f} {row['cpu_s']:6.1f} s"
            print(f"{row['setting']:13} {row['history']:22} {row['policy']:14} {cell}", flush=True)
    means = summary(rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if arguments.json:
        print(json.dumps({"rows": rows, "summary": means, "peak_rss_bytes": peak}))
        return
    print(f"\n{'setting':13} {'histories':13} {'policy':14} {'mean':>7} {'worst':>7}")
    for cell in sorted(means, key=lambda cell: (str(cell["setting"]), str(cell["group"]), float(str(cell["mean"])))):
        print(f"{cell['setting']:13} {cell['group']:13} {cell['policy']:14} {cell['mean']:7.3f} {cell['worst']:7.2f}")
    print(f"peak memory {peak / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
