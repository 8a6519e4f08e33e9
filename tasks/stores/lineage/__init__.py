"""OpenLineage events: what each stage read and wrote, to a file and to any OpenLineage endpoint."""
