"""What a model is made of and what came of it: read from the stores, shown as text, as JSON and as a page."""
