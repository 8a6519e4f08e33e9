"""The sensor's parts: what it knows of files, and how it is woken."""
