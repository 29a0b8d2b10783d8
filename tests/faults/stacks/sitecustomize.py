"""Python loads this first in a server whose threads are counted: SIGUSR1 has it write down where
each of them is, which needs neither the event loop nor a thread of its pools."""

import faulthandler
import os
import signal

_file = os.open(os.environ["STACKS_FILE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
faulthandler.register(signal.SIGUSR1, _file)
