"""What maintainers run by hand or from the Makefile."""
