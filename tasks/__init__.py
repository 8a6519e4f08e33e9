"""One package a stage, the records that they exchange, and the stores where every effect happens."""
