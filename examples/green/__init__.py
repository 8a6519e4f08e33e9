"""New York's green taxis: one contract for files of five schemas."""
