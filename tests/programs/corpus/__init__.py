"""Real servers and clients with real bugs, as `wavetank check` is given them: a factory and a conversation each."""
