"""What every request cost: counted while it runs, spooled to disk, settled in the database.

A view makes a `Meter` with `recorder.meter(…)` and opens its stream through `metered(…)`; whatever
ends the stream ends the meter, once. From there on nothing happens on the request's way: one thread
of the recorder writes the spool, another one the database.
"""

from .meter import Meter, Metered, Stream, metered
from .recording import Recorder, recorder

__all__ = ["Meter", "Metered", "Recorder", "Stream", "metered", "recorder"]
