"""A discrete-event simulator that drives the production scheduler with a virtual clock.

python -m bench.scheduling --help
"""
