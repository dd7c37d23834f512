"""The lock that jobs take."""

import threading

queue_lock = threading.Lock()
