"""What changed from version to version, what that did to each metric, and what it cost: `perennial history`."""
