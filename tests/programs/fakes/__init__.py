"""Small servers that speak just enough of a protocol for the programs of the gallery that need one."""
