"""What the command line shows, and its commands apart from cli.py."""
