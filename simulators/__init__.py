"""The stand-ins: platform, broker, device, fleet, board, network and world, each usable alone."""
