"""nginx: one worker, sendfile, files kept open; over TLS the kernel's ciphers where it has them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.serving.peers.running import Peer, Site, filled, free_port, running


@contextmanager
def nginx(site: Site) -> Iterator[Peer]:
    port = free_port()
    folder = site.folder / "nginx"
    folder.mkdir(exist_ok=True)
    secure = ""
    if site.tls is not None:
        secure = f"ssl_certificate {site.tls.certificate};\nssl_certificate_key {site.tls.key};\n"
        secure += "ssl_protocols TLSv1.3;\nssl_session_cache shared:tls:1m;\n"
        secure += "ssl_conf_command Options KTLS;"
    settings = folder / f"{site.scheme}.conf"
    settings.write_text(
        filled(
            "nginx.conf.template",
            user="user root;" if os.geteuid() == 0 else "",
            workers=site.workers,
            folder=folder,
            listen=f"127.0.0.1:{port}{' ssl' if site.tls else ''}",
            tls=secure,
            root=site.files,
        )
    )
    argv = ["nginx", "-p", str(folder), "-c", str(settings), "-e", str(folder / "error.log")]
    with running("nginx", argv, port, site) as peer:
        yield peer
