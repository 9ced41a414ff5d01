"""Events, items, vocabulary, histories, cleaning, splits and batches: everything before learning."""
