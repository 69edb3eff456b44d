"""What components that train share: estimators, features, the label's meaning, fitting, the model folder, the log."""
