"""Scores to ranked lists, and ranked lists to numbers: shared by training, recommenders and evaluation."""
