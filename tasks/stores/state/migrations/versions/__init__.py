"""One module a migration. Each only adds: code that is one version older may still be at work on the same database."""
