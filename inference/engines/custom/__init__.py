"""Models that are somebody's own code: the engine out here, and what runs it in the jail."""
