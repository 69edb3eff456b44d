"""What a data contract needs beyond its file: rules, keys and references, the schema, a first draft, and its evolution.

The file itself is `kfp_hallmark.contracts.data_contract`.
"""
