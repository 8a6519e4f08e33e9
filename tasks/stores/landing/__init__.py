"""Where files and rows come from: folders, object stores, databases."""
