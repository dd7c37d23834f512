"""Random numbers; the extension asks whether there are any."""
