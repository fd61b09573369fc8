"""Routes that people or Postern made: which mail leaves through which egress, and until when."""
