"""What a built-in architecture is told: everything but its numbers. Nothing here loads torch."""
