"""The service: start, the loop between duties, reload, drain.

One scheduler thread gives out work; duties that move bytes take turns on one worker, light ones have another. The main
thread waits for signals, feeds the watchdog while the scheduler's heart beats, and reports.
"""

import queue
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from threading import Event

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, JobEvent, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from tiering.app.acting import acting
from tiering.app.memory import give_back
from tiering.app.open import build_context, check_ownership, open_context
from tiering.app.placement import check_placement
from tiering.catalog import runs
from tiering.clock import NS_PER_S, Clock
from tiering.config import Config, load_config
from tiering.errors import ConfigError, FrostlineError
from tiering.jobs.charges import charge
from tiering.jobs.context import Context
from tiering.jobs.preflight import DROP_IN_HINT, preflight
from tiering.logs import Log
from tiering.notify import CommandNotifier
from tiering.report.summary import summary
from tiering.service import duties
from tiering.service.counting import POLL_S, OpenCounting
from tiering.service.sd_notify import Supervisor
from tiering.service.timetable import ClockSteps, first_run, triggers, upkeep_s

HEARTBEAT_S = 5.0
TICK_S = 1.0  # how late a signal may be noticed
HEAVY = frozenset({"scan", "cycle", "gc"})


class Ask(Enum):
    """What a signal asks of the service."""

    STOP = "stop"
    RELOAD = "reload"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the process gives the service."""

    clock: Clock
    log: Log
    supervisor: Supervisor
    asks: "queue.SimpleQueue[Ask]"
    """Filled by signal handlers."""


class Service:
    """One running daemon. Build it, run() it once."""

    def __init__(self, config_path: str, config: Config, surroundings: Surroundings) -> None:
        """Remember; nothing is opened before run()."""
        self._path = config_path
        self._config = config
        self._with = surroundings
        self._log = surroundings.log
        self._stop = Event()
        self._beat_s = surroundings.clock.monotonic_s()
        self._context: Context | None = None
        self._counting = OpenCounting(surroundings.log)
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"heavy": ThreadPoolExecutor(1), "light": ThreadPoolExecutor(1), "heart": ThreadPoolExecutor(1)},
            # The default grace silently drops a job that is a second late.
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )

    def run(self) -> None:
        """Serve until asked to stop; returns when the steps in hand are finished and everything is closed.

        Raises what makes starting impossible: ConfigError, SchemaError, NotOwner, StoreUnavailable, CatalogBusy.
        """
        with ExitStack() as stack:
            context = stack.enter_context(
                open_context(self._config, clock=self._with.clock, stop=self._stop, reason="service")
            )
            self._check(context)
            stack.enter_context(acting(context))
            self._context = context
            self._scheduler.add_listener(self._told, EVENT_JOB_MAX_INSTANCES | EVENT_JOB_ERROR)
            self._schedule()
            self._log.info("ready", config=self._path, act=self._config.act)
            self._with.supervisor.ready(summary(context))
            self._scheduler.start()
            try:
                self._loop()
            finally:
                self._drain()

    def _check(self, context: Context) -> None:
        for missing in preflight(context):
            self._log.warning("unit_lacks", what=missing.what, line=missing.line, next=DROP_IN_HINT)

    def _schedule(self) -> None:
        """(Re)place every job by the configuration in force."""
        context = self._open()
        self._scheduler.remove_all_jobs()
        now_ns = self._with.clock.now_ns()
        for duty, trigger in triggers(context.config.schedule, context.config.buckets).items():
            with context.catalog.read() as tx:
                last = runs.last(tx, duty)
            due = first_run(trigger, last_started_ns=last.started_ns if last else None, now_ns=now_ns)
            executor = "heavy" if duty in HEAVY or duties.is_of_bucket(duty) else "light"
            self._add(duty, self._duty(duty), trigger, executor=executor, due=due)
        now = datetime.fromtimestamp(now_ns / NS_PER_S, UTC)
        every = IntervalTrigger(seconds=upkeep_s(context.config), timezone=UTC)
        self._add("upkeep", lambda: duties.upkeep(self._open(), self._log), every, executor="light", due=now)
        if self._counting.start(context):
            poll = IntervalTrigger(seconds=POLL_S, timezone=UTC)
            self._add("opens", lambda: self._counting.poll(self._open()), poll, executor="light", due=now)
        beat = IntervalTrigger(seconds=HEARTBEAT_S, timezone=UTC)
        self._add("heartbeat", self._heartbeat, beat, executor="heart", due=now)

    def _add(self, name: str, call: Callable[[], object], trigger: object, *, executor: str, due: datetime) -> None:
        self._scheduler.add_job(
            call, trigger, id=name, name=name, executor=executor, next_run_time=due, replace_existing=True
        )

    def _duty(self, name: str) -> Callable[[], None]:
        def perform() -> None:
            context = self._open()
            self._with.supervisor.status(f"{name} is running")
            notifier = CommandNotifier(context.config.notify.command, self._log)
            duties.perform(name, context, self._log, notifier)
            give_back()
            if not self._stop.is_set():
                self._with.supervisor.status(summary(context))

        return perform

    def _told(self, event: JobEvent) -> None:
        """Log what the scheduler has to say, which its own logger would write past ours."""
        if isinstance(event, JobExecutionEvent):
            self._log.bug("duty_broke", event.exception, duty=event.job_id)
        else:
            self._log.info("duty_still_running", duty=event.job_id)

    def _heartbeat(self) -> None:
        self._beat_s = self._with.clock.monotonic_s()

    def _loop(self) -> None:
        clock = self._with.clock
        steps = ClockSteps(now_ns=clock.now_ns(), monotonic_s=clock.monotonic_s())
        while True:
            if back_s := steps.back_s(now_ns=clock.now_ns(), monotonic_s=clock.monotonic_s()):
                self._log.warning("clock_put_back", seconds=round(back_s), now="every duty is placed anew")
                self._schedule()
            self._feed_watchdog()
            try:
                ask = self._with.asks.get(timeout=TICK_S)
            except queue.Empty:
                continue
            if ask is Ask.STOP:
                return
            self._reload()

    def _feed_watchdog(self) -> None:
        """Feed it only while both loops turn: this one, and the scheduler's, whose heart must have beaten lately."""
        limit_s = max(4 * HEARTBEAT_S, self._with.supervisor.watchdog_s / 2)
        if self._with.clock.monotonic_s() - self._beat_s < limit_s:
            self._with.supervisor.alive()

    def _reload(self) -> None:
        """Take up the configuration as it is now, or refuse it whole and go on with the one in force."""
        self._with.supervisor.reloading(self._with.clock.monotonic_s())
        try:
            self._take_up(load_config(self._path).config)
        except FrostlineError as error:
            self._log.error(
                "configuration_refused", what=error.what, now="the one before stays in force", next=error.hint
            )
            notifier = CommandNotifier(self._config.notify.command, self._log)
            notifier.tell("configuration_refused", error.what, now="the one before stays in force", hint=error.hint)
        self._with.supervisor.ready(summary(self._open()))

    def _take_up(self, config: Config) -> None:
        before = self._open()
        if config.catalog != self._config.catalog or config.logs != self._config.logs:
            raise ConfigError(
                "catalog and logs cannot change while the service runs", hint="systemctl restart frostlined"
            )
        check_placement(config)
        context = build_context(config, before.catalog, clock=self._with.clock, stop=self._stop)
        check_ownership(context)
        self._check(context)
        charge(before, reason="reload")  # its meters are not asked again; a duty still running books its own
        self._config, self._context = config, replace(context, owner=before.owner)
        self._schedule()
        self._log.info("configuration_taken_up", config=self._path, act=config.act)

    def _drain(self) -> None:
        """Let every duty finish the step in hand. Nothing new begins."""
        self._stop.set()
        self._with.supervisor.stopping("finishing the steps in hand")
        self._log.info("stopping")
        self._scheduler.remove_all_jobs()
        self._scheduler.shutdown(wait=True)
        self._counting.stop()
        self._charge_last()
        self._log.info("stopped")

    def _charge_last(self) -> None:
        """Book what was asked since the last duty. After a reload run()'s own context is not the one in use."""
        try:
            charge(self._open(), reason="service")
        except FrostlineError as error:
            self._log.error("requests_not_booked", what=error.what, now=error.now, next=error.hint)

    def _open(self) -> Context:
        assert self._context is not None  # run() sets it before the scheduler starts
        return self._context
