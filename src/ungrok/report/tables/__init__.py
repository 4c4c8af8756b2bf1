"""Tables of the report, one file for each topic."""
