"""What happened: one append-only timeline of typed facts, written as JSON Lines."""
