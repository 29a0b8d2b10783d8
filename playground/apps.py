"""App configuration and start-up checks of the web side."""

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class PlaygroundConfig(AppConfig):
    """The web-facing app."""

    name = "playground"

    def ready(self) -> None:
        """Register the checks."""
        register(open_mode_check)


def open_mode_check(**kwargs: object) -> list[CheckMessage]:
    """Anybody who reaches an open server may use it: say so when it is bound beyond loopback."""
    if settings.AUTH_MODE == "open" and settings.HOST not in LOOPBACK:
        return [
            Warning(
                f"AUTH_MODE is open and HOST is {settings.HOST}: anybody who can reach this "
                "server may use its models without a key.",
                hint="Set AUTH_MODE=key, or bind to 127.0.0.1 behind a proxy that knows people.",
                id="playground.W001",
            )
        ]
    return []
