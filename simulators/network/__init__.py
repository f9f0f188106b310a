"""What stands between two ends: proxies in front of servers that are not ours, which let faults happen at protocol events."""
