"""Commands that look after the store: what it holds, takes in, gives out and lets go."""
