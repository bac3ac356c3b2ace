"""The gallery: real libraries, unmodified, client and server over the simulated network."""
