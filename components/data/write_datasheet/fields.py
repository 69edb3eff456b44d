"""What a person must say about a dataset.

Source: the questions of T. Gebru and others, Datasheets for Datasets, Communications of the ACM 64 (2021), in short.
"""

from kfp_hallmark.statement import DAY, TEXT, TEXTS

SECTIONS = {
    "The dataset": {
        "name": (TEXT, "what it is called"),
        "version": (TEXT, "its version"),
        "description": (TEXT, "what it holds"),
        "homepage": (TEXT, "where its page is, as a URL"),
        "citation": (TEXT, "how to cite it"),
        "keywords": (TEXTS, "by which words it is found"),
    },
    "Motivation": {
        "purpose": (TEXT, "for what it was made, and which gap it fills"),
        "creators": (TEXTS, "which teams or organizations made it"),
        "funding": (TEXT, "who paid for it"),
    },
    "Composition": {
        "instances": (TEXT, "what a row stands for"),
        "sampling": (TEXT, "of which whole the rows are a sample, how it was drawn, and whether it is representative"),
        "labels": (TEXT, "what the label is, and how it came about"),
        "missing_values": (TEXT, "why values are missing"),
        "relations": (TEXT, "how rows belong together, such as those of one person"),
        "splits": (TEXT, "how to split it, and why so"),
        "errors": (TEXTS, "known errors, noise and redundancies"),
        "external_resources": (TEXTS, "what outside of it it relies on, and whether that stays"),
        "confidential_data": (TEXT, "whether it holds what is confidential"),
        "offensive_data": (TEXT, "whether it holds what may offend or frighten"),
        "groups": (TEXTS, "which groups of people are told apart, and which are over- or under-represented"),
        "identifiability": (TEXT, "whether a person can be identified from it, alone or with other data"),
        "sensitive_data": (TEXTS, "which sensitive data it holds"),
    },
    "Collection process": {
        "acquisition": (TEXT, "how the data came about: observed, reported or derived, and how that was verified"),
        "mechanisms": (TEXT, "by which devices, programs or people they were collected"),
        "collectors": (TEXT, "who collected them, and how they were paid"),
        "timeframe": (TEXT, "when they were collected, and of when they tell"),
        "ethical_review": (TEXT, "whether the collection was reviewed, by whom, and with which outcome"),
        "notice": (TEXT, "whether and how the people were told"),
        "consent": (TEXT, "whether and how they consented, and how they can revoke it"),
        "impact_assessment": (TEXT, "whether the effects on the people were assessed, and with which outcome"),
    },
    "Preprocessing, cleaning and labelling": {
        "preprocessing": (TEXTS, "what was done to the raw data"),
        "raw_data": (TEXT, "whether the raw data are kept, and where"),
        "preprocessing_software": (TEXT, "which software did it, and where that is"),
    },
    "Uses": {
        "past_uses": (TEXTS, "what it has been used for, and where that can be read"),
        "intended_uses": (TEXTS, "what it may be used for"),
        "risks": (TEXTS, "what in it could harm people in later uses, and how to avoid it"),
        "unsuitable_uses": (TEXTS, "what it must not be used for"),
    },
    "Distribution": {
        "recipients": (TEXT, "who gets it"),
        "channel": (TEXT, "how they get it"),
        "release_date": (DAY, "since when"),
        "license": (TEXT, "under which terms it may be used"),
        "third_party_terms": (TEXT, "which terms of others apply"),
        "export_controls": (TEXT, "which laws limit its export or use"),
    },
    "Maintenance": {
        "maintainer": (TEXT, "who maintains it"),
        "contact": (TEXT, "where to ask"),
        "erratum": (TEXT, "where its errors are told"),
        "updates": (TEXT, "whether, how often and by whom it is updated, and how users hear of it"),
        "retention": (TEXT, "for how long data on people may be kept, and how that is kept to"),
        "old_versions": (TEXT, "whether older versions are maintained"),
        "contributions": (TEXT, "how others can add to it"),
    },
}
"""Every field by section, with its form and what it says; the first section names what the others are about."""

FIELDS = {name: field for section in SECTIONS.values() for name, field in section.items()}
