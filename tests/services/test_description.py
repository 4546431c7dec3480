"""The OpenAPI document against the gateway that it describes, and the page."""

import re
from pathlib import Path

from openapi_spec_validator import validate
from services import maps
from services.gateway_process import Gateway, running, write_config
from services.scripted_control_plane import ScriptedControlPlane

from sluice_services.config import GatewayConfig
from sluice_services.metrics import GatewayMetrics

MANUAL = Path(__file__).parents[2] / "control_services" / "README.md"


def test_the_openapi_document_is_valid_and_every_path_of_it_is_answered(
    steady_gateway: Gateway,
) -> None:
    document = steady_gateway.ask("GET", "/v1/openapi.json").json
    validate(document)

    assert document["openapi"].startswith("3.1")
    for path, methods in document["paths"].items():
        for method in methods:
            asked = path.replace("{title}", "big-buck-bunny")
            body = {"title": "big-buck-bunny"} if method == "post" else None
            assert steady_gateway.ask(method.upper(), asked, body).status == 200, path


def test_no_route_is_missing_from_the_openapi_document(steady_gateway: Gateway) -> None:
    document = steady_gateway.ask("GET", "/v1/openapi.json").json
    for path in ("/v1/titles", "/v1/playback", "/v1/titles/{title}", "/v1/openapi.json"):
        assert path in document["paths"]
    labels = re.findall(r'route="([^"]+)"', steady_gateway.ask("GET", "/metrics").body.decode())
    assert {label for label in labels if label.startswith("/v1/")} <= set(document["paths"])


def test_what_playback_answers_has_the_fields_that_the_document_promises(
    steady_gateway: Gateway,
) -> None:
    schemas = steady_gateway.ask("GET", "/v1/openapi.json").json["components"]["schemas"]
    playback = steady_gateway.playback(title="big-buck-bunny").json

    assert set(playback) == set(schemas["Playback"]["properties"])
    assert set(playback["pathways"][0]) == set(schemas["Pathway"]["properties"])


def test_the_page_is_served_compressed_unchanged_and_never_from_outside_its_folder(
    tmp_path: Path, control_plane: ScriptedControlPlane
) -> None:
    web = tmp_path / "web"
    (web / "assets").mkdir(parents=True)
    (web / "index.html").write_text("<!doctype html>" + " " * 2_000)
    (web / "assets" / "x-1.js").write_text("1")
    (tmp_path / "secret").write_text("secret")
    config = write_config(tmp_path, control_plane.port, control_plane.identity, web=str(web))
    with running(config) as gateway:
        page = gateway.ask("GET", "/", headers={"Accept-Encoding": "gzip"})
        again = gateway.ask(
            "GET",
            "/",
            headers={"Accept-Encoding": "gzip", "If-None-Match": page.headers["etag"]},
        )
        asset = gateway.ask("GET", "/assets/x-1.js")

        assert page.headers["content-encoding"] == "gzip"
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert (again.status, again.body) == (304, b"")
        assert "immutable" in asset.headers["cache-control"]
        for path in ("/../secret", "/%2e%2e/secret", "/assets/..%2f..%2fsecret", "//secret"):
            assert gateway.ask("GET", path).status == 404


def test_every_setting_and_every_counter_is_in_the_manual() -> None:
    manual = MANUAL.read_text()
    exposed = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in GatewayMetrics().registry.collect()
    }

    assert [name for name in GatewayConfig.__dataclass_fields__ if f"`{name}`" not in manual] == []
    assert [name for name in exposed if f"`{name}`" not in manual] == []
    assert maps.ZONE in manual
