"""The questions, as data: what is done on a bench so that the checks have something to see."""
