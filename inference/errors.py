"""What can go wrong in `inference`. No class here knows an HTTP status.

InferenceError
├── RequestError              the caller's doing; asking the same again fails the same way
│   ├── ModelNotFound         no card has this id or alias
│   ├── InvalidRequest        a value is wrong; `param` names it
│   │   └── UnsupportedParameter   right for other models, not for this one
│   ├── ModelRefused          the model is there, and is not to be loaded here
│   │   ├── UnsafeFormat      its weights are pickles only
│   │   ├── UnsafeCode        it brings code of its own
│   │   ├── UnsupportedModel  no engine knows it
│   │   ├── ModelTooLarge     no way to make it fit, or larger than this server takes
│   │   └── LicenceRefused    its licence is not agreed to
│   └── ContextLengthExceeded prompt (plus what was asked for) is longer than the context
├── Refused                   this service's state; may work later, `retry_after` in seconds
│   ├── QueueFull             the server's queue is full
│   ├── AccountQueueFull      the caller's own share of the queue is full
│   ├── WaitTooLong           the wait would be, or was, longer than the bound
│   ├── ModelQueued           it waits, longer than a silent connection may; its place is kept
│   ├── ModelUnavailable      the model failed to load, or can never fit beside the pinned ones
│   ├── StorageFull           no room on disk for its weights
│   ├── OutOfMemory           the engine had no memory left for this request
│   └── ShuttingDown          the server is draining
└── EngineError               broke while running
    ├── EngineCrashed         the engine's process went away
    ├── EngineTimeout         the engine said nothing in time
    ├── ProgramFailed         the model's own code raised or answered nonsense; the engine runs on
    │   └── CustomCodeFailed  so did a custom model's, or it was stopped at a limit
    ├── Preempted             others had waited too long; the answer cannot be resumed
    └── LoadFailed            `Engine.start` did not succeed
        └── CustomLoadFailed  a custom model's `load()` is to blame
"""

from __future__ import annotations


class InferenceError(Exception):
    """Base of everything that `inference` raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RequestError(InferenceError):
    """The request cannot be served as it stands; `param` names the field at fault."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class ModelNotFound(RequestError):
    """No catalogue card answers to this name."""

    def __init__(self, model: str) -> None:
        shown = model if len(model) <= 100 else f"{model[:100]}…"
        super().__init__(f"The model `{shown}` does not exist.", "model")
        self.model = model


class InvalidRequest(RequestError):
    """A field has a value that no model takes."""


class UnsupportedParameter(InvalidRequest):
    """A field asks for something that this model or engine cannot do."""


class ContextLengthExceeded(RequestError):
    """The prompt does not fit in the model's context."""


class ModelRefused(RequestError):
    """The model exists and is not to be loaded here; the message says why."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "model")


class UnsafeFormat(ModelRefused):
    """The model's weights are there only in a format that runs code when it is read."""


class UnsafeCode(ModelRefused):
    """The model brings code of its own, and its card does not say that this may run."""


class UnsupportedModel(ModelRefused):
    """No engine of this server knows models of this kind."""


class ModelTooLarge(ModelRefused):
    """There is no way to make the model fit, or it is larger than the operator allows."""


class LicenceRefused(ModelRefused):
    """The model's licence is not one that the operator agreed to, or nobody agreed to it yet."""


class Refused(InferenceError):
    """Not now; `retry_after` is the expected wait in whole seconds, 1 to 120."""

    def __init__(self, message: str, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = min(120, max(1, retry_after))


class QueueFull(Refused):
    """The server's queue is full."""


class AccountQueueFull(Refused):
    """The caller's own queue places are used up. There are `limit` of them."""

    def __init__(self, message: str, retry_after: int = 5, limit: int = 0) -> None:
        super().__init__(message, retry_after)
        self.limit = limit


class WaitTooLong(Refused):
    """The request would wait longer than the bound that is promised, or has done so."""


class ModelQueued(Refused):
    """The request waits longer than a silent connection may. Its place is kept: ask again."""


class ModelUnavailable(Refused):
    """The model cannot be loaded now; the message says why."""


class StorageFull(Refused):
    """There is no room on disk for the model's weights, and nothing that may go."""


class OutOfMemory(Refused):
    """The engine had no memory left for this request; a smaller one, or a later one, may fit."""


class ShuttingDown(Refused):
    """The server is stopping and takes no new work."""


class EngineError(InferenceError):
    """Something broke while a request was running."""


class EngineCrashed(EngineError):
    """The engine's process is gone."""


class EngineTimeout(EngineError):
    """The engine said nothing before the first-token deadline."""


class ProgramFailed(EngineError):
    """The model's code raised or answered nonsense. The engine runs on; its log has the rest.

    `trace` is the traceback, for the author of the code and nobody else.
    """

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.trace = trace


class CustomCodeFailed(ProgramFailed):
    """A custom model's code raised, answered nonsense, ended, or was stopped at a limit."""


class Preempted(EngineError):
    """The turn of its model ended and the answer was cut off; it cannot be resumed."""


class LoadFailed(EngineError):
    """An engine did not start; the message is the cause in words."""


class CustomLoadFailed(LoadFailed):
    """A custom model's code did not load: it raised, ended, or was stopped at a limit."""
