"""Self-contained HTML reports: parts that return strings, put together into one page.

Everything given is escaped; what the functions here return is `Markup` and is not escaped again. A page loads nothing
from elsewhere, runs no script, and reads well in light and dark.
"""

from kfp_hallmark.reports.charts import bars, intervals, lines, points, sparkline
from kfp_hallmark.reports.page import (
    Markup,
    badge,
    check_table,
    code,
    facts,
    figure,
    number,
    page,
    paragraph,
    section,
    table,
    verdict_facts,
    write_page,
)

__all__ = [
    "Markup",
    "badge",
    "bars",
    "check_table",
    "code",
    "facts",
    "figure",
    "intervals",
    "lines",
    "number",
    "page",
    "paragraph",
    "points",
    "section",
    "sparkline",
    "table",
    "verdict_facts",
    "write_page",
]
