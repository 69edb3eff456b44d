"""The explanation gate's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kfp_hallmark.components.evaluation.explanation_gate.weights import shares
from kfp_hallmark.contracts.importances import Importances
from kfp_hallmark.contracts.verdict import Check, Status, Verdict
from kfp_hallmark.fairness.proxies import Association
from kfp_hallmark.reports import (
    Markup,
    bars,
    check_table,
    code,
    figure,
    intervals,
    number,
    page,
    paragraph,
    section,
    table,
    verdict_facts,
)

if TYPE_CHECKING:
    from numpy import ndarray

SHOWN = 20
"""How many features a chart shows."""


@dataclass
class Explanation:
    """What came out, as the report tells it.

    Attributes:
        found: The importances.
        checks: What was judged.
        proxies: Forbidden feature to how well others tell it, the strongest first.
        features: The features that are compared with the champion's; empty when they are not.
        compared: Mean absolute SHAP values of these for the model and the champion, each of shape (parts, features).
    """

    found: Importances
    checks: list[Check] = field(default_factory=list)
    proxies: Mapping[str, Sequence[Association]] = field(default_factory=dict)
    features: list[str] = field(default_factory=list)
    compared: tuple[ndarray, ndarray] = field(default=(), repr=False)  # type: ignore[assignment]

    @property
    def names(self) -> list[str]:
        """The features, the most important first."""
        return list(self.found.importances)

    @property
    def parts(self) -> ndarray:
        """Mean absolute SHAP values of parts of the rows, shape (parts, features)."""
        import numpy as np

        return np.array([self.found.parts[name] for name in self.names]).T

    def places(self, names: Sequence[str]) -> list[int]:
        """Return where some features are."""
        return [self.names.index(name) for name in names]

    def share(self, names: Sequence[str]) -> float:
        """Return the share of some features in the weight; 0 when nothing moves a prediction."""
        values = self.found.importances
        return sum(values[name] for name in names) / (sum(values.values()) or 1.0)

    def compare(self, champion_names: Sequence[str], champion_parts: ndarray) -> None:
        """Bring the champion's features beside the model's: what one does not take weighs nothing in it."""
        import numpy as np

        self.features = list(dict.fromkeys([*self.names, *champion_names]))
        count = min(len(self.parts), len(champion_parts))
        both = []
        for names, parts in ((self.names, self.parts), (list(champion_names), champion_parts)):
            wide = np.zeros((count, len(self.features)))
            wide[:, [self.features.index(name) for name in names]] = parts[:count]
            both.append(wide)
        self.compared = both[0], both[1]


def explanation_page(verdict: Verdict, explained: Explanation) -> str:
    """Return the report as one HTML document."""
    found = explained.found
    about = (
        f"What predictions of {found.explained} rest on: SHAP values by {found.method}, in {found.unit}, of "
        f"{number(found.rows)} rows. The weight of a feature is its share in the sum of the mean absolute values."
    )
    parts = [
        section("What was judged", verdict_facts(verdict), paragraph(about)),
        section("Checks", check_table(verdict.checks)),
        _weights_section(verdict, explained),
    ]
    parts += [_proxy_section(verdict, explained, column) for column in explained.proxies]
    if explained.features:
        parts.append(_champion_section(explained))
    parts.append(section("How to read this", *_reading(verdict)))
    return page("Explanation gate", *parts, status=verdict.status, lead=_lead(verdict))


def _lead(verdict: Verdict) -> str:
    noted = [check for check in verdict.checks if not check.status.passed]
    if not noted:
        return "Every limit on what the model rests on is kept."
    return " ".join(reason.partition(": ")[2] for reason in verdict.reasons()[:2])


def _weights_section(verdict: Verdict, explained: Explanation) -> Markup:
    forbidden = set(verdict.parameters["forbidden_features"])
    threshold = verdict.parameters["min_proxy_strength"]
    proxies = {each.feature for known in explained.proxies.values() for each in known if each.strength >= threshold}
    shown = explained.names[:SHOWN]
    items = []
    for name in shown:
        status = Status.FAIL if name in forbidden else Status.WARN if name in proxies else ""
        kind = " (forbidden)" if name in forbidden else " (proxy)" if name in proxies else ""
        items.append((f"{name}{kind}", explained.share([name]), str(status)))
    rest = len(explained.names) - len(shown)
    more = f" {number(rest)} features that weigh less are not shown." if rest else ""
    marked = " Forbidden features and their proxies are marked." if forbidden else ""
    return section("Weights", figure(bars("Share of the weight", items), f"Share of the weight.{marked}{more}"))


def _proxy_section(verdict: Verdict, explained: Explanation, column: str) -> Markup:
    known, threshold = explained.proxies[column], verdict.parameters["min_proxy_strength"]
    heading = f"What tells {column}"
    if not known:
        return section(heading, "The rows are too few, or it varies too little, to tell its proxies.")
    shown = known[:SHOWN]
    items = [
        (each.feature, each.strength, each.interval, "warn" if each.strength >= threshold else "") for each in shown
    ]
    rest = len(known) - len(shown)
    more = f" {number(rest)} features that tell it less are not shown." if rest else ""
    caption = (
        f"Share of the variance of {column} that a feature explains, with an interval that holds for all features "
        f"together; from the dashed line on it is a proxy.{more}"
    )
    chart = intervals(f"How well features tell {column}", items, limits=[threshold])
    return section(heading, figure(chart, caption))


def _champion_section(explained: Explanation) -> Markup:
    from scipy.stats import spearmanr

    model, champion = (shares(parts) for parts in explained.compared)
    order = sorted(range(len(model)), key=lambda place: -abs(model[place] - champion[place]))[:SHOWN]
    rows = [
        [
            code(explained.features[place]),
            f"{model[place]:.1%}",
            f"{champion[place]:.1%}",
            f"{100 * (model[place] - champion[place]):+.1f}",
        ]
        for place in order
    ]
    rank = float(spearmanr(model, champion).statistic) if len(model) > 2 else None
    note = "The features whose weight differs most, on the same rows."
    if rank is not None:
        note += f" Spearman's rank correlation of all {number(len(model))} weights is {number(rank, 3)}."
    columns = ["Feature", "Weight", "Weight in the champion", "Difference (percentage points)"]
    return section("Against the champion", paragraph(note), table(columns, rows))


def _reading(verdict: Verdict) -> list[Markup]:
    confidence = verdict.parameters["confidence"]
    return [
        paragraph(
            f"A check passes when the whole {confidence:.0%} interval keeps the limit, fails when none of it does, and "
            "is inconclusive in between: more explained rows (max_rows of explain_model) would tell. Where it is not "
            "certain that a feature is a proxy, it counts for the upper end of the interval alone."
        ),
        paragraph(
            "A model can be built so that SHAP values hide what it rests on, and several features can tell together "
            "what none of them tells alone; a pass is no proof of fairness, which fairness_gate judges by what the "
            "model does.",
            note=True,
        ),
    ]
