"""Dead letters: how large a record may be, what becomes of one that cannot be, and the way back."""
