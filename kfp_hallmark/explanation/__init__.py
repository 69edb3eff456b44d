"""What components that explain models share: SHAP values, and the rows they are computed for."""
