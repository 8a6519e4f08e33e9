"""The house: one room a stage, the records they hand each other, and the stores where every effect happens."""
