"""Recording from within other libraries' training loops."""
