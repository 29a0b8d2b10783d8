"""A real nginx in front of a server, as people run it, with timeouts that a test can wait for."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.servers import ROOT, RunningServer, free_port, wait_until

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
  {site}
}}
"""
CUTTING = """
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
"""
NAME = "llms.example.org"


class Nginx:
    """A proxy that cuts what is silent for `silence` seconds. It buffers, as nginx does."""

    def __init__(self, folder: Path, server: RunningServer, silence: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        site = CUTTING.format(port=self.port, upstream=server.url, silence=silence)
        self.process = self._start(folder, site)

    def _start(self, folder: Path, site: str) -> subprocess.Popen[bytes]:
        """Run nginx with this part of its configuration."""
        config = folder / "nginx.conf"
        config.write_text(CONFIG.format(folder=folder, site=site))
        program = shutil.which("nginx", path=PROGRAMS)
        assert program is not None
        process = subprocess.Popen(
            [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config)],
            stdin=subprocess.DEVNULL,
        )
        wait_until(self._answers, what="nginx answers")
        return process

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return client.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def client(self) -> httpx.Client:
        """For requests to it."""
        return httpx.Client(base_url=self.url, timeout=30)

    def stop(self) -> None:
        """End it and its worker."""
        self.process.terminate()
        self.process.wait(10)


class Shipped(Nginx):
    """nginx with the configuration in deploy/: other ports and paths, and else as it stands."""

    def __init__(self, folder: Path, server: RunningServer) -> None:
        self.port, self.plain_port = free_port(), free_port()
        self.url, self.host = f"https://127.0.0.1:{self.port}", NAME
        certificate, key = folder / "fullchain.pem", folder / "privkey.pem"
        sign(certificate, key)
        self.trust = ssl.create_default_context(cafile=certificate)
        site = (ROOT / "deploy" / "nginx.conf").read_text()
        for theirs, ours in (
            ("listen 80;", f"listen 127.0.0.1:{self.plain_port};"),
            ("listen 443 ssl;", f"listen 127.0.0.1:{self.port} ssl;"),
            (f"/etc/letsencrypt/live/{NAME}", str(folder)),
            ("http://127.0.0.1:8000", server.url),
        ):
            assert theirs in site
            site = site.replace(theirs, ours)
        self.process = self._start(folder, site)

    def client(self) -> httpx.Client:
        """One that takes it for the host that it is for."""
        client = httpx.Client(
            base_url=self.url, verify=self.trust, headers={"host": self.host}, timeout=30
        )
        # The certificate is that host's.
        client.event_hooks["request"].append(_for_host)
        return client


def _for_host(request: httpx.Request) -> None:
    request.extensions["sni_hostname"] = NAME


def sign(certificate: Path, key_file: Path) -> None:
    """A certificate for NAME that vouches for itself, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
