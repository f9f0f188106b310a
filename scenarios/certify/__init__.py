"""`hil certify`: puts bench, scenarios and checks together for each kind of subject, and says the verdict."""
