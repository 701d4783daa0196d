"""Reads the targets file and the serving certificate, and reads them again when they change or SIGHUP asks for it.

A file that cannot be used is refused whole and the state before it is kept: a typing error must not blind the
autoscaler. Changes are found by looking (every two seconds), which also works for the links of a mounted ConfigMap or
Secret.
"""

import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path

from inflight.documents import DocumentError
from inflight.documents.yaml import MAX_BYTES
from inflight.serve.api.telemetry import Telemetry
from inflight.serve.certificates import CertificateError, ends_at, load_certificate, read_certificate
from inflight.serve.server import RunningServer
from inflight.serve.settings import RunSettings
from inflight.signals import Catalogue
from inflight.sources import Target, load_targets

LOOK_SECONDS = 2.0

_log = logging.getLogger(__name__)

Fingerprint = tuple[int, int, int] | None


def read_targets(path: Path, catalogue: Catalogue) -> list[Target]:
    """The targets of a file; raises DocumentError, also where it cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DocumentError(str(path), None, (), f"cannot be read: {error.strerror}") from error
    return load_targets(text, str(path), catalogue.engines)


class Reloader:
    """Keeps a running server up to date with its files."""

    def __init__(
        self,
        settings: RunSettings,
        catalogue: Catalogue,
        take_targets: Callable[[list[Target]], None],
        server: RunningServer,
        telemetry: Telemetry,
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._take_targets = take_targets
        self._server = server
        self._telemetry = telemetry
        self._seen = {path: _fingerprint(path) for path in self._files()}
        self._asked = asyncio.Event()

    async def run(self) -> None:
        """Looks until cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._asked.set)
        try:
            while True:
                try:
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._asked.wait()
                except TimeoutError:
                    pass
                self.look(everything=self._asked.is_set())
                self._asked.clear()
        finally:
            loop.remove_signal_handler(signal.SIGHUP)

    def look(self, *, everything: bool = False) -> None:
        """Reads what has changed since the last look, or everything."""
        changed = {path for path in self._files() if everything or _fingerprint(path) != self._seen[path]}
        for path in changed:
            self._seen[path] = _fingerprint(path)
        if self._settings.targets_file in changed:
            self._read_targets(self._settings.targets_file)
        if changed - {self._settings.targets_file}:
            self._read_certificate()

    def _files(self) -> list[Path]:
        settings = self._settings
        files = (settings.targets_file, settings.tls_cert_file, settings.tls_private_key_file)
        return [path for path in files if path is not None]

    def _read_targets(self, file: Path) -> None:
        try:
            targets = read_targets(file, self._catalogue)
        except DocumentError as error:
            self._refuse("targets", error)
            return
        self._take_targets(targets)
        self._telemetry.reloads["targets", "taken"] += 1
        _log.info("event=reloaded what=targets pods=%d", len(targets))

    def _read_certificate(self) -> None:
        settings = self._settings
        assert settings.tls_cert_file is not None
        assert settings.tls_private_key_file is not None
        try:
            certificate = read_certificate(settings.tls_cert_file, settings.tls_private_key_file)
            load_certificate(self._server.context, certificate)
            self._telemetry.note_certificate(ends_at(certificate))
        except (CertificateError, OSError) as error:
            self._refuse("certificate", error)
            return
        self._telemetry.reloads["certificate", "taken"] += 1
        _log.info("event=reloaded what=certificate")

    def _refuse(self, what: str, error: Exception) -> None:
        self._telemetry.reloads[what, "refused"] += 1
        _log.error("event=reload_refused what=%s kept=the_old_one why=%r", what, str(error))


def _fingerprint(path: Path) -> Fingerprint:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
