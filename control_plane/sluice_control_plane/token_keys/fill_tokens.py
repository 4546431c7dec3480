"""Signs what an appliance shows another of which it fetches a title, where tokens are required.

One token is for one version of one title. It lasts a day longer than an appliance has to go on without
us, for it then keeps to the sources that it was told of last.
"""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from sluice_control_plane.token_keys.rotation import AUTONOMY_S, DAY_S
from sluice_runtime.web_tokens import sign_web_token

LIFE_S = AUTONOMY_S + DAY_S
# IANA's numbers of CWT claims (CTA-5007-A); of `catu` the path, 3, and how it begins, 1.
_ISS, _SUB, _EXP, _CATV, _CATU = 1, 2, 4, 310, 312
_PATH, _PREFIX = 3, 1


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs now."""

    issuer: str
    key_id: str
    key: ec.EllipticCurvePrivateKey


def with_token(base_url: str, signer: Signer, version: str, *, asker: str, now: float) -> str:
    """`base_url` with a token as its first segment, for `version` (`title/version`)."""
    claims = {
        _ISS: signer.issuer,
        _SUB: f"appliances/{asker}",
        _EXP: int(now + LIFE_S),
        _CATV: 1,
        _CATU: {_PATH: {_PREFIX: f"/{version}/"}},
    }
    return f"{base_url};CAT={sign_web_token(claims, signer.key, signer.key_id)}/"
