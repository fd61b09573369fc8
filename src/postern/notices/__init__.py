"""All that Postern itself writes: failure, delay and success notices."""
