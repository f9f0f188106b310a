"""What a run is driven with: ports, resources and drivers."""
