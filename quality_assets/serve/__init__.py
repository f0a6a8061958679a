"""What runs as a server or starts one. Nothing here opens the warehouse."""
