"""How a store of an earlier version becomes one of this version; a step that was published is never changed."""
