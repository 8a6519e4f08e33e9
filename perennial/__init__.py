"""What people run and import: the command line, the servers, the prediction service, reports."""
