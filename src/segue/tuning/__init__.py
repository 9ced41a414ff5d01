"""Tuning: a search for the settings that do best on the validation holdout, resumable and shared by processes."""
