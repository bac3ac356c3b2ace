"""The same few calls on the real kernel's loopback and on the simulated kernel, compared."""
