"""Measurements that print figures. None of them is a test: machines differ."""
