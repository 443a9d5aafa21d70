"""Strategies by name, for rules, the simulator's command line and benchmarks.

A name may carry parameters of its own as steps: `age=0:STANDARD,30:STANDARD_IA,90:GLACIER_IR` (days since birth),
`idle=...` (days since the last read), `frequency=0.1:STANDARD,0:GLACIER_IR` (reads per day at least). Or knobs:
`ewma=half-life:30,gain:0.05`, `expected-cost=gain:0.1` (the part of what staying costs that a move must save).
"""

from collections.abc import Callable, Mapping, Sequence
from math import inf

from policies.offers import Offer, Terms
from policies.strategies.break_even import BreakEven
from policies.strategies.expected import ExpectedCost, Tuning
from policies.strategies.fixed import Frequency, IntelligentTiering, Stay, Steps
from policies.strategies.frequency import GAIN, Ewma
from policies.strategies.protocol import HALF_LIFE_DAYS, Strategy

NAMES = ("all-hot", "all-standard", "all-int", "age-30-90", "idle-30-90", "frequency", "ewma", "break-even",
         "intelligent-tiering", "expected-cost")  # fmt: skip
KNOBS: Mapping[str, frozenset[str]] = {
    "ewma": frozenset({"half-life", "gain"}),
    "expected-cost": frozenset({"gain"}),
}
MONTHLY, YEARLY = 1 / 30, 1 / 365


class StrategyError(ValueError):
    """The name, or what stands behind it, cannot be meant with these classes."""


def make_strategy(said: str, offers: Sequence[Offer], terms: Terms) -> Strategy:
    """Return a fresh strategy; see the module for what may be said. Raises StrategyError naming what is wrong."""
    name, _, parameters = said.partition("=")
    if parameters and name in KNOBS:
        return _with_knobs(said, name, parameters, terms)
    if parameters:
        return _with_steps(said, name, parameters, offers)
    if name in MAKERS:
        return MAKERS[name](offers, terms)
    if name.startswith("all-"):
        return Stay(name, index_of(offers, name.removeprefix("all-").upper()))
    raise StrategyError(f'no strategy "{said}" (there are {", ".join(NAMES)}, and all-<class>)')


def baselines(offers: Sequence[Offer]) -> list[str]:
    """Return the names of what every report stands beside, as far as the classes allow."""
    names = {offer.name for offer in offers}
    return [
        *(["all-hot"] if offers[0].rank < 0 else []),
        *(["all-standard"] if "STANDARD" in names else []),
        *(["all-int"] if "INTELLIGENT_TIERING" in names else []),
        *(["all-glacier"] if "GLACIER" in names else []),
        *(["age-30-90", "idle-30-90"] if len(offers) > 1 else []),
    ]


def index_of(offers: Sequence[Offer], name: str) -> int:
    """Return the number of a class. Raises StrategyError where it is not offered."""
    for number, offer in enumerate(offers):
        if offer.name == name:
            return number
    raise StrategyError(f'class "{name}" is not offered (there are {", ".join(offer.name for offer in offers)})')


def _thirty_ninety(offers: Sequence[Offer]) -> list[tuple[float, int]]:
    """Return the usual steps: the warmest, at 30 days the next without an own ladder, at 90 the coldest instant one.

    Where archives are offered, the warmest archive takes the place of the coldest instant class.
    """
    plain = [number for number, offer in enumerate(offers) if not offer.ladder]
    archives = [number for number in plain if offers[number].wait_h > 0]
    instant = [number for number in plain if offers[number].wait_h == 0]
    steps = [(0.0, instant[0])]
    if len(instant) > 1:
        steps.append((30.0, instant[1]))
    coldest = archives[0] if archives else instant[-1]
    return [*steps, (90.0, coldest)]


def _with_steps(said: str, name: str, parameters: str, offers: Sequence[Offer]) -> Strategy:
    try:
        pairs = [step.split(":") for step in parameters.split(",")]
        steps = [(float(at), index_of(offers, target)) for at, target in pairs]
        if name == "age":
            return Steps(said, steps, by_age=True)
        if name == "idle":
            return Steps(said, steps, by_age=False)
        if name == "frequency":
            return Frequency(said, steps)
    except StrategyError:
        raise
    except ValueError as error:
        raise StrategyError(f'"{said}": {error}') from None
    raise StrategyError(f'"{said}": only age, idle and frequency take steps, ewma and expected-cost knobs')


def _with_knobs(said: str, name: str, parameters: str, terms: Terms) -> Strategy:
    try:
        knobs = {knob: float(value) for knob, value in (pair.split(":") for pair in parameters.split(","))}
    except ValueError as error:
        raise StrategyError(f'"{said}": {error}') from None
    strangers = sorted(set(knobs) - KNOBS[name])
    if strangers:
        raise StrategyError(f'"{said}": {name} has no "{strangers[0]}" (it has {", ".join(sorted(KNOBS[name]))})')
    gain = knobs.get("gain", GAIN)
    if not 0 <= gain < 1 or not 0 < knobs.get("half-life", 1.0) < inf:
        raise StrategyError(f'"{said}": gain must be within 0..1, half-life positive')
    if name == "ewma":
        return Ewma(said, half_life_days=knobs.get("half-life", HALF_LIFE_DAYS), gain=gain)
    return ExpectedCost(terms, name=said, tuning=Tuning(gain=gain))


def _frequency(offers: Sequence[Offer]) -> Frequency:
    """Return bands: read monthly stays warm, yearly goes to the middle, less to the coldest instant class."""
    steps = _thirty_ninety(offers)
    floors = [MONTHLY, YEARLY, 0.0][-len(steps) :]
    return Frequency("frequency", [(floor, target) for floor, (_, target) in zip(floors, steps, strict=True)])


MAKERS: dict[str, Callable[[Sequence[Offer], Terms], Strategy]] = {
    "all-hot": lambda offers, terms: Stay("all-hot", 0),
    "all-int": lambda offers, terms: Stay("all-int", index_of(offers, "INTELLIGENT_TIERING")),
    "age-30-90": lambda offers, terms: Steps("age-30-90", _thirty_ninety(offers), by_age=True),
    "idle-30-90": lambda offers, terms: Steps("idle-30-90", _thirty_ninety(offers), by_age=False),
    "frequency": lambda offers, terms: _frequency(offers),
    "ewma": lambda offers, terms: Ewma(),
    "break-even": lambda offers, terms: BreakEven(),
    "intelligent-tiering": lambda offers, terms: IntelligentTiering(index_of(offers, "INTELLIGENT_TIERING")),
    "expected-cost": lambda offers, terms: ExpectedCost(terms),
}
