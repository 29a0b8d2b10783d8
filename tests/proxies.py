"""A real nginx in front of a server, as people run it, with timeouts that a test can wait for."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import httpx

from tests.servers import RunningServer, free_port, wait_until

# Debian puts it where only root's PATH leads.
PROGRAMS = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
CONFIG = """
daemon off;
worker_processes 1;
error_log {folder}/error.log;
pid {folder}/nginx.pid;
events {{}}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  scgi_temp_path {folder}/scgi;
  uwsgi_temp_path {folder}/uwsgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {upstream};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_read_timeout {silence}s;
    }}
  }}
}}
"""


class Nginx:
    """A proxy that cuts what is silent for `silence` seconds. It buffers, as nginx does."""

    def __init__(self, folder: Path, server: RunningServer, silence: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config = folder / "nginx.conf"
        config.write_text(
            CONFIG.format(folder=folder, port=self.port, upstream=server.url, silence=silence)
        )
        program = shutil.which("nginx", path=PROGRAMS)
        assert program is not None
        self.process = subprocess.Popen(
            [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config)],
            stdin=subprocess.DEVNULL,
        )
        wait_until(self._answers, what="nginx answers")

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """End it and its worker."""
        self.process.terminate()
        self.process.wait(10)
