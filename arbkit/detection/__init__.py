"""From books to opportunities: which legs belong together, what they pay at least, and what that is worth now."""
