"""Says in dollars what moving stored packs between cold tiers costs and saves: the same words for plan and migrate."""

import math
from typing import Any

from policies.amounts import NANO, say_bytes, say_usd
from policies.cost import break_even_days
from policies.moving import MoveQuote, say_once, say_repaid


def say_moves(quote: MoveQuote) -> str:
    """Return a quote in words."""
    if not quote.packs:
        return "no pack moves: something warmer needs them, or moving them does not pay; the files belong there then"
    return (
        f"{quote.packs:,} packs ({say_bytes(quote.size_bytes)}), {quote.requests:,} requests, "
        f"{say_usd(quote.once_nano)} once ({say_once(quote)}), saving {say_usd(quote.saved_nano_month)} a month, "
        f"{say_repaid(quote)}"
    )


def moves_json(quote: MoveQuote) -> dict[str, Any]:
    """Return a quote as JSON."""
    days = break_even_days(saved_nano_month=quote.saved_nano_month, once_nano=quote.once_nano)
    return {
        "packs": quote.packs,
        "bytes": quote.size_bytes,
        "requests": quote.requests,
        "usd": {
            "requests": quote.request_nano / NANO,
            "transition": quote.transition_nano / NANO,
            "retrieval": quote.retrieval_nano / NANO,
            "egress": quote.egress_nano / NANO,
            "early_delete": quote.early_delete_nano / NANO,
        },
        "usd_once": quote.once_nano / NANO,
        "usd_per_month_saved": quote.saved_nano_month / NANO,
        "break_even_days": None if math.isinf(days) else round(days, 2),
    }
