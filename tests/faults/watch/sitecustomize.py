"""Python loads this first in a server that is watched: it notes whatever holds up the event loop.

Python tells audit hooks of each file that is opened, each sleep, each connection and process that
is begun. What happens inside the running loop, and is no import, goes into BLOCKING_LOG with the
way that led there. Questions to the database need no hook: Django refuses them there.
"""

import os
import sys
from asyncio import _get_running_loop

EVENTS = {
    "open", "time.sleep", "sqlite3.connect", "socket.connect", "socket.getaddrinfo",
    "socket.gethostbyname", "subprocess.Popen", "os.listdir", "os.scandir", "os.remove",
    "os.rename", "os.mkdir", "os.rmdir", "os.fork", "os.posix_spawn", "shutil.rmtree",
    "shutil.copyfile", "shutil.move",
}  # fmt: skip
_log = os.open(os.environ["BLOCKING_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def _note(event, args):
    if event not in EVENTS or _get_running_loop() is None or sys.argv[1:2] != ["serve"]:
        return
    way, frame = [], sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if "importlib" in code.co_filename:
            return
        way.append(f"{os.path.basename(code.co_filename)}:{frame.f_lineno}:{code.co_name}")
        frame = frame.f_back
    os.write(_log, f"{event} {args[:1]!r} {' < '.join(way[:12])}\n".encode())


sys.addaudithook(_note)
