"""Assignment, transport, polar factors, ordering, least squares: numbers in, numbers out; none knows of networks."""
