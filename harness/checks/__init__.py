"""The judge: pure functions of a recorded history, one file per requirement family."""
