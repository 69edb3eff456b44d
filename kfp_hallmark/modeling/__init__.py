"""Any MLflow model, ready to predict: what evaluation, explanation, the gates and serving share.

columns     the columns that a model takes, and those of a dataset in their types
loading     load a model folder, verified
prediction  let it predict a dataset, and tell what its output means
"""
