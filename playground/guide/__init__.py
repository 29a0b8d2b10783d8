"""The documentation for users at `/docs`: programs that run as they stand, and what to expect."""
