"""What runs beside the driver: threads that fetch, and supervised child processes that decode and tag."""
