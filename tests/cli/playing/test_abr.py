"""The choice of renditions."""

from hypothesis import given
from hypothesis import strategies as st

from sluice_cli.playing.abr import (
    CALM_BUFFER_S,
    SAMPLE_MIN_BYTES,
    SCARCE_BUFFER_S,
    Rung,
    Throughput,
    choose,
)

LADDER = [Rung("360p", 800_000), Rung("720p", 2_500_000), Rung("1080p", 5_000_000)]

ladders = st.lists(
    st.builds(Rung, st.text("abc", min_size=1, max_size=3), st.integers(1, 10**8)),
    min_size=1,
    max_size=6,
)
rates = st.floats(1, 1e9)
buffers = st.floats(0, 120)


def chosen(throughput_bps: float | None, buffer_s: float, current: Rung | None = None) -> str:
    return choose(
        LADDER, throughput_bps=throughput_bps, buffer_s=buffer_s, current=current
    ).rendition_id


def test_the_first_segment_is_the_lowest_so_that_the_picture_comes_soon() -> None:
    assert chosen(None, 0.0) == "360p"


def test_an_empty_buffer_spends_half_and_a_full_one_most_of_the_throughput() -> None:
    assert chosen(4_000_000, SCARCE_BUFFER_S - 0.1) == "360p"
    assert chosen(4_000_000, SCARCE_BUFFER_S) == "720p"


def test_a_calm_buffer_does_not_step_down_while_the_path_carries_what_is_played() -> None:
    assert chosen(5_500_000, CALM_BUFFER_S, LADDER[2]) == "1080p"
    assert chosen(5_500_000, CALM_BUFFER_S - 0.1, LADDER[2]) == "720p"
    assert chosen(4_900_000, CALM_BUFFER_S, LADDER[2]) == "720p"


@given(ladders, rates, buffers, st.data())
def test_what_is_chosen_is_affordable_or_the_lowest(
    ladder: list[Rung], throughput_bps: float, buffer_s: float, data: st.DataObject
) -> None:
    current = data.draw(st.none() | st.sampled_from(ladder))

    rung = choose(ladder, throughput_bps=throughput_bps, buffer_s=buffer_s, current=current)

    assert rung in ladder
    lowest = min(entry.bandwidth_bps for entry in ladder)
    assert rung.bandwidth_bps <= throughput_bps or rung.bandwidth_bps == lowest


@given(ladders, rates, rates, buffers, buffers, st.data())
def test_more_throughput_and_more_buffer_never_choose_less(
    ladder: list[Rung],
    rate: float,
    other_rate: float,
    buffer_s: float,
    other_buffer_s: float,
    data: st.DataObject,
) -> None:
    current = data.draw(st.none() | st.sampled_from(ladder))
    low, high = sorted((rate, other_rate))
    short, long = sorted((buffer_s, other_buffer_s))

    less = choose(ladder, throughput_bps=low, buffer_s=short, current=current)
    more = choose(ladder, throughput_bps=high, buffer_s=long, current=current)

    assert less.bandwidth_bps <= more.bandwidth_bps


@given(st.lists(st.tuples(st.integers(SAMPLE_MIN_BYTES, 10**8), st.floats(1e-4, 60)), min_size=1))
def test_the_estimate_lies_between_the_slowest_and_the_fastest_transfer(
    transfers: list[tuple[int, float]],
) -> None:
    throughput = Throughput()
    for size_bytes, seconds in transfers:
        throughput.add(size_bytes, seconds)

    rates_bps = [size_bytes * 8 / seconds for size_bytes, seconds in transfers]
    assert throughput.bps is not None
    assert min(rates_bps) * 0.999 <= throughput.bps <= max(rates_bps) * 1.001


def test_a_drop_is_believed_sooner_than_a_peak() -> None:
    steady, dropped, peaked = Throughput(), Throughput(), Throughput()
    for throughput in (steady, dropped, peaked):
        for _ in range(20):
            throughput.add(1_000_000, 1.0)
    dropped.add(100_000, 2.0)
    peaked.add(20_000_000, 2.0)

    assert steady.bps is not None
    assert dropped.bps is not None
    assert peaked.bps is not None
    # The drop is to 1/20, the peak is tenfold; both lasted two seconds.
    assert dropped.bps < steady.bps * 0.6
    assert peaked.bps < steady.bps * 4


def test_a_small_transfer_says_nothing_about_the_path() -> None:
    throughput = Throughput()
    throughput.add(SAMPLE_MIN_BYTES - 1, 10.0)
    assert throughput.bps is None
