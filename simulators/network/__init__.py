"""What stands between two ends: a proxy that lets faults happen at protocol events, in front of servers that are not ours."""
