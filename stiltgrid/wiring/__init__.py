"""What the rules ask: inputs, params and resources of a job as functions of its wildcards. Pure look-ups, no torch."""
