"""The serving runtime: one program that serves the folder which `deploy_model` fills, on Vertex AI, KServe or here.

    __main__   the program: arguments and variables
    server     sockets, signals, draining, several workers
    app        routes and answers
    protocols  the two dialects: instances to predictions, and the Open Inference Protocol
    bodies     JSON, read strictly
    rows       requests held against the model's signature
    features   the preprocessing of Hallmark's own pipelines without data frames
    trees      gradient boosting for a few rows
    predictor  a loaded model that predicts rows
    releases   verify and load what a release document names, and follow it
    storage    fetch a folder from where AIP_STORAGE_URI names
    metrics    what Prometheus collects

It runs in the environment `serve`; nothing beside the SDK imports it.
"""
