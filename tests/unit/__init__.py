"""One module per module of the source: what it promises, nothing started, nothing waited for."""
