"""Questions to a device, one module per theme. Importing this package registers them (entry point `hil.scenarios`)."""
