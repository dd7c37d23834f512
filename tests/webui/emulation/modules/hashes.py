"""SHA-256 of files."""

import hashlib
from pathlib import Path


def sha256(filename, title, use_addnet_hash=False):
    """The whole digest, in hexadecimal digits."""
    return hashlib.sha256(Path(filename).read_bytes()).hexdigest()
