"""Files to batches: find what landed, know it by its content, stage it in the contract's types."""
