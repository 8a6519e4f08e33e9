"""How good a model is on rows: metrics, and how sure they are. Evaluation and monitoring both measure by it."""
