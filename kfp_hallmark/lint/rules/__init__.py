"""One rule a module; `kfp_hallmark.lint.engine.all_rules` finds them."""
