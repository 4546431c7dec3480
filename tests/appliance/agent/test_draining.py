"""A box that an operator drains, as the control plane and its own health page see it."""

import asyncio
import signal
from pathlib import Path

from appliance.agent.scripted_control_plane import Authority, Script, serving
from appliance.agent.test_run import Box, free_port
from appliance.deadline import until
from appliance.serving.serve_process import put_object


def test_a_drained_box_asks_for_no_new_clients_and_serves_those_that_come(tmp_path: Path) -> None:
    script = Script(Authority())
    (tmp_path / "pinned-ca.pem").write_bytes(script.authority.pem)
    put_object(tmp_path / "store", "film/v1/a", b"a film")
    ports = free_port(), free_port()
    box = Box(tmp_path, control_plane=f"127.0.0.1:{ports[0]}", enrolment=f"127.0.0.1:{ports[1]}")

    def told_to_send_clients() -> bool:
        return bool(script.heartbeats) and script.heartbeats[-1].serving

    with box.running() as process:

        async def story() -> None:
            async with serving(script, tmp_path / "server", port=ports[0], enrolment_port=ports[1]):
                await until("the box takes clients", told_to_send_clients)
                process.send_signal(signal.SIGUSR1)
                await until("the box asks for none", lambda: not told_to_send_clients())
                # The page answers 503 now: `health` reads only what is well.
                assert box.health() == {}
                assert box.get(box.data, "/film/v1/a") == b"a film"
                process.send_signal(signal.SIGUSR2)
                await until("the box takes clients again", told_to_send_clients)
                assert box.health()["draining"] is False

        asyncio.run(story())
    assert "Traceback" not in (tmp_path / "log").read_text()
