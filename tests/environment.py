"""Loaded by pytest before Django's settings: tests never touch the data of a real installation."""

import atexit
import os
import shutil
import signal
import tempfile

# A job that was started in the background ignores Ctrl-C, and so would every server it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Hundreds of servers and commands would each compile the project anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

_folder = tempfile.mkdtemp(prefix="llms-tests-")
os.environ["LLMS_DATA"] = _folder
os.mkdir(os.path.join(_folder, "static"))
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
