"""Between the hosts: addresses, links, and the one small port through which faults act on what travels."""
