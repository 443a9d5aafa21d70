"""P6 for the eye: the waterfall's steps add up to the books' own totals, in text and on the page."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from tiering.report.audit_html import audit_html
from tiering.report.waterfall import waterfall

SIZES = st.integers(0, 2**50)


@dataclass(frozen=True)
class Totals:
    """Balanced books."""

    dual_bytes: int
    offline_bytes: int
    retained_bytes: int
    dedup_saved_bytes: int
    compression_saved_bytes: int
    overhead_bytes: int
    stored_bytes: int
    dead_bytes: int
    metadata_bytes: int
    bucket_bytes: int


@st.composite
def balanced(draw: st.DrawFn) -> Totals:
    """Books that balance."""
    dual, offline, retained, dedup, compression, overhead, dead, metadata = (draw(SIZES) for _ in range(8))
    live = dual + offline + retained - dedup - compression + overhead
    return Totals(dual, offline, retained, dedup, compression, overhead, live, dead, metadata, live + dead + metadata)


@given(balanced())
def test_p6_every_subtotal_is_the_sum_of_the_steps_before_it(books: Totals) -> None:
    running = 0
    for step in waterfall(books):
        if step.is_total:
            assert step.total_bytes == running
        else:
            running += step.change_bytes
            assert step.total_bytes == running
    assert running == books.bucket_bytes


def test_the_page_escapes_what_it_shows_and_needs_no_network() -> None:
    page = audit_html(
        title="<audit>",
        agreed="",
        steps=waterfall(Totals(4, 3, 0, 2, 1, 1, 5, 0, 1, 6)),
        facts=[("a & b", "<1>")],
        discrepancies=["pack <x> is gone"],
        notes=["<unseen>"],
    )
    assert "&lt;audit&gt;" in page
    assert "a &amp; b" in page
    assert "pack &lt;x&gt; is gone" in page
    assert "<li>&lt;unseen&gt;</li>" in page
    assert "http" not in page
    assert "<script" not in page
