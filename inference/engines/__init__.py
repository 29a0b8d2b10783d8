"""What runs a model. Every engine speaks the protocol of `base.py`."""
