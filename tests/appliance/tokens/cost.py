"""What a token costs a worker: `python tests/appliance/tokens/cost.py` prints microseconds."""

import sys
from collections.abc import Callable
from pathlib import Path
from timeit import repeat

sys.path.insert(0, str(Path(__file__).parents[2]))

from appliance.tokens.minting import CATU, ES256, EXP, HS256, NOW, cat, jwt, key_set

from sluice_appliance.serving import tally
from sluice_appliance.serving.tokens.gate import Demand, Gate, Policy
from sluice_appliance.serving.tokens.keys import KeySet

HOST = b"b0173.v.example"
CLAIMS = {EXP: NOW + 3600, CATU: {3: {1: "/film/"}}}


def _gate(demand: Demand = Demand.REQUIRED) -> Gate:
    row = memoryview(bytearray(tally.CELLS * 8)).cast("Q")
    return Gate(KeySet.from_bytes(key_set()), Policy(demand, b"http"), row)


def _microseconds(act: Callable[[], object], number: int) -> float:
    return min(repeat(act, number=number, repeat=7)) / number * 1e6


def main() -> None:
    warm, off = _gate(), _gate(Demand.OFF)
    es256, hs256 = cat(CLAIMS, alg=ES256), cat(CLAIMS, alg=HS256)
    signed = jwt({"exp": NOW + 3600, "cdniuc": "regex:http://[^/]+/film/.*"})
    in_path = b"/film;CAT=" + es256 + b"/v1/video.mp4"
    others = iter([b"/film;CAT=" + es256 + b"/v1/%d.mp4" % number for number in range(20_000)])
    others_signed = iter(
        [b"/film/v1/%d.mp4?URISigningPackage=" % number + signed for number in range(20_000)]
    )
    package = b"/film/v1/video.mp4?URISigningPackage=" + signed
    bare = b"/film/v1/video.mp4"
    costs = {
        "known target": _microseconds(lambda: warm.judge(in_path, HOST, NOW), 100_000),
        "known target and host": _microseconds(lambda: warm.judge(package, HOST, NOW), 100_000),
        "known CAT, another target": _microseconds(
            lambda: warm.judge(next(others), HOST, NOW), 2_000
        ),
        "known RFC 9246 token, another target": _microseconds(
            lambda: warm.judge(next(others_signed), HOST, NOW), 2_000
        ),
        "no token, none required": _microseconds(lambda: off.judge(bare, HOST, NOW), 100_000),
        "new CAT, ES256": _microseconds(lambda: _gate().judge(in_path, HOST, NOW), 500),
        "new CAT, HS256": _microseconds(
            lambda: _gate().judge(b"/film/a?CAT=" + hs256, HOST, NOW), 500
        ),
        "of which the empty gate": _microseconds(_gate, 500),
    }
    for name, microseconds in costs.items():
        print(f"{name:36} {microseconds:8.2f} us")


if __name__ == "__main__":
    main()
