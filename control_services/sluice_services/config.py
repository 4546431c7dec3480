"""The gateway's settings: one frozen value, parsed once in `main`."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from sluice_runtime.addresses import address_setting
from sluice_runtime.config import setting

# Beside the source of an editable install; `npm run build` makes it.
WEB_BESIDE_SOURCE = Path(__file__).resolve().parents[1] / "web" / "dist"


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """What `sluice-services run --config FILE` reads."""

    control_plane: str = setting("HOST:PORT of the control plane's gRPC listener.")
    identity: Path = setting(
        "Folder with ca.pem, cert.pem, key.pem (role `service`) and verification.pem."
    )
    state: Path = setting("Folder for the last known good steering map and catalog.")
    listen: str = setting(
        "HOST:PORT of the API, the page and the metrics.", default="127.0.0.1:8080"
    )
    web: Path | None = setting(
        "Folder of the built page; `control_services/web/dist` beside the source when not given.",
        default=None,
    )
    url_lifetime_s: int = setting(
        "How long an answer's URLs may be used; it is its `expires_at`.", default=21_600, unit="s"
    )
    trusted_proxies: tuple[str, ...] = setting(
        "Networks whose callers may name the viewer in `client_address`.",
        default=("127.0.0.0/8", "::1/128"),
    )
    body_max_bytes: int = setting("Longest request body; a longer one is 413.", default=16_384)
    request_timeout_s: float = setting(
        "From a request's head to its answer; a slower one is 408.", default=10.0, unit="s"
    )
    requests_in_flight_max: int = setting(
        "Requests answered at one time; more are told 503 and to come again.", default=1_024
    )

    def __post_init__(self) -> None:
        address_setting("listen", self.listen)
        address_setting("control_plane", self.control_plane)
        for network in self.trusted_proxies:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ValueError(f"trusted_proxies: {error}") from None
        _within("url_lifetime_s", self.url_lifetime_s, 60, 7 * 86_400)
        _within("body_max_bytes", self.body_max_bytes, 256, 1 << 20)
        _within("request_timeout_s", self.request_timeout_s, 0.1, 300)
        _within("requests_in_flight_max", self.requests_in_flight_max, 1, 100_000)


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}, expected {least}..{most}")
