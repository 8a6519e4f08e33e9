"""What a stage depends on: code, configuration, libraries; what a commit had."""
