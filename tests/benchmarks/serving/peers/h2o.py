"""H2O: one thread over the files. 2.2 keeps up to 256 files open and copies them through buffers."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.serving.peers.running import Peer, Site, filled, free_port, running


@contextmanager
def h2o(site: Site) -> Iterator[Peer]:
    port = free_port()
    secure = ""
    if site.tls is not None:
        # JSON, which is YAML on one line.
        secure = (
            f'ssl: {{"certificate-file": "{site.tls.certificate}", "key-file": "{site.tls.key}",'
            ' "minimum-version": "TLSv1.2"}'
        )
    settings = site.folder / f"h2o-{site.scheme}.yaml"
    settings.write_text(
        filled(
            "h2o.yaml.template",
            # Left alone it becomes nobody, who may not read a folder of this run.
            user="user: root" if os.geteuid() == 0 else "",
            folder=site.folder,
            port=port,
            tls=secure,
            root=site.files,
        )
    )
    with running("h2o", ["h2o", "-c", str(settings)], port, site) as peer:
        yield peer
