"""Thread scaling of the port as a table: `make bench`. Nothing is asserted here."""
