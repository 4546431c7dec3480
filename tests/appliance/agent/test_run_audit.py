"""What rots in a running box is found, by its audit or by a player, taken out of service, and comes again by itself."""

import asyncio
import http.client
from pathlib import Path

import pytest
from appliance.agent.scripted_control_plane import Authority, Script, serving
from appliance.agent.test_run import BODY, KEY, Box, free_port
from appliance.deadline import until
from appliance.fill.scripted_source import ScriptedSource
from appliance.fill.signing import message, signed
from appliance.store.damage import DAMAGE, put

from sluice.fill.v1 import fill_pb2
from sluice_appliance.object_key import parse_key
from sluice_appliance.store.store import Store


@pytest.mark.parametrize("found_by", ["the audit", "a player"])
def test_an_object_that_rots_on_disk_is_found_and_fetched_again_while_the_box_serves(
    tmp_path: Path, found_by: str
) -> None:
    with Store.open(tmp_path / "store") as store:
        path = put(store, parse_key(KEY), BODY)
    is_audit = found_by == "the audit"
    if is_audit:
        DAMAGE["a bit of the first block"](path)
    script = Script(Authority())
    (tmp_path / "pinned-ca.pem").write_bytes(script.authority.pem)
    script.publish(signed(message(4, {"film": [BODY]})))
    ports = free_port(), free_port()
    box = Box(
        tmp_path,
        control_plane=f"127.0.0.1:{ports[0]}",
        enrolment=f"127.0.0.1:{ports[1]}",
        audit_bytes_per_s=20_000_000 if is_audit else 0,
    )

    def served() -> bool:
        try:
            return box.get(box.data, f"/{KEY}") == BODY
        except http.client.IncompleteRead:
            return False

    async def story() -> None:
        async with (
            ScriptedSource({KEY: BODY}).serving() as source,
            serving(script, tmp_path / "server", port=ports[0], enrolment_port=ports[1]),
        ):
            script.sources = [
                fill_pb2.FillSource(
                    source_id="origin",
                    kind=fill_pb2.FILL_SOURCE_KIND_ORIGIN,
                    base_url=f"{source.base_url}good/",
                )
            ]
            if not is_audit:
                await until("held", lambda: script.last_report().held_objects == 1, within_s=40)
                assert served()
                assert source.asked == []
                DAMAGE["cut short in the page"](path)
                assert not served()
            quarantine = tmp_path / "store" / "quarantine"
            await until("put away", quarantine.exists, within_s=40)
            await until("sound again", served, within_s=40)
        metrics = (box.get(box.admin, "/metrics") or b"").decode()
        assert 'sluice_appliance_audit_objects_total{verdict="damaged"} 1.0' in metrics
        assert 'sluice_appliance_fill_objects_total{source="origin"} 1.0' in metrics
        assert f"sluice_appliance_spoilt_copies_total {float(not is_audit)}" in metrics
        assert "sluice_appliance_disk_errors_of_late" in metrics

    with box.running():
        asyncio.run(story())
    assert len(list((tmp_path / "store" / "quarantine").iterdir())) == 1
    assert '"object_damaged"' in (tmp_path / "log").read_text()
