"""What the venues' own interfaces ask for. So far: the names that orders have there."""
