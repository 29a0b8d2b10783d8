"""What Prometheus asks at `/metrics`: sums since the start, and how things stand. Names nobody."""
