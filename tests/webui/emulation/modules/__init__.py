"""A narrow stand-in for the WebUI's package of this name: as much of it as the extension touches, and no more.

Whatever is tested against it is tested against the real one too, by the same functions
(tests/webui/in_process_checks.py, in_process_page_checks.py).
"""
