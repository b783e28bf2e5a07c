"""Says whether two answers mean the same, what may differ, and what each profile should answer."""
