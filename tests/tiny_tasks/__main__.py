"""`python -m tests.tiny_tasks TASK FOLDER`"""

import sys
from pathlib import Path

from . import write

write(sys.argv[1], Path(sys.argv[2]))
