"""What a person must say about a model."""

from kfp_hallmark.statement import GROUPS, RISKS, TEXT, TEXTS

FIELDS = {
    "name": (TEXT, "what the model is called"),
    "version": (TEXT, "its version"),
    "description": (TEXT, "what it does"),
    "owner": (TEXT, "who answers for it"),
    "contact": (TEXT, "where to ask"),
    "license": (TEXT, "under which terms it may be used"),
    "intended_use": (TEXTS, "what it is for"),
    "intended_users": (TEXTS, "who may use it"),
    "out_of_scope": (TEXTS, "what it is not for"),
    "training_data": (TEXT, "where its data are from and how they were collected"),
    "sensitive_data": (TEXTS, "which sensitive data it was made from"),
    "limitations": (TEXTS, "where it is known to be poor"),
    "tradeoffs": (TEXTS, "what was given up for what"),
    "human_oversight": (TEXT, "who can overrule it, and how"),
    "ethical_considerations": (RISKS, "risks and what is done against them"),
    "groups_at_risk": (GROUPS, "who may be harmed, and what is done against it"),
}
"""Every field with its form and what it says; all must be said, and one that is not is named in the card."""
