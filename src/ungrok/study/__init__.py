"""Studies: recipe, plan, store, engine, claims."""
