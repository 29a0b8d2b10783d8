"""What the pages of staff ask while they are open, and commands on this machine: `/staff/…`."""
