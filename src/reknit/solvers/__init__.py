"""Assignment, ordering and least squares: numbers in, numbers out; nothing here knows what a network is."""
