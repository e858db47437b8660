"""The comparison of several runs: OUT/comparison.html, and its numbers in OUT/comparison/."""

from __future__ import annotations

import math
from typing import Dict, List, Sequence

from . import beside, compare, compare_figures, compare_tables, compare_training
from . import compared_words, figures, one_run, words
from .charts import Figure
from .page import Chapter, Page
from .published import Published
from .records import Run
from .tables import Table


class Comparison:
    """Everything that is said about runs, before it is drawn."""

    def __init__(
        self, runs: Sequence[Run], title: str, unit: str, published: Published, last_episodes: int
    ) -> None:
        compare.check(runs)
        self.groups = compare.group(runs)
        self.ranked = compare.rankings(self.groups, unit)
        self.published, self.n = published, last_episodes
        self.cohorts = beside.of_comparison(self.groups, self.ranked)
        names = [one.name for one in self.groups]
        self.title = title or (
            " / ".join(names) if len(names) <= 3 else f"Comparison of {len(names)} methods"
        )
        self.said = compared_words.summary(self.groups, self.ranked)
        self.said += beside.sentences(self.cohorts, last_episodes)
        self.tables: List[Table] = compare_tables.tabulate(self.groups, self.ranked)
        if self.cohorts:
            self.tables.append(beside.table(self.cohorts, last_episodes))
        self.warnings: List[str] = []

    def summary(self) -> List[str]:
        return self.said

    def page(self, date: str) -> Page:
        drawn: Dict[str, List[Figure]] = {}
        shown = []
        for ranking in self.ranked:
            found, tables = compare_figures.evaluation(self.groups, ranking, self.published)
            drawn[ranking.split] = found
            self.tables += tables

            alike = any(one.name.startswith("episodes_") for one in found)
            shown.append((ranking.split, ranking.success, alike))
        trained = compare_training.meta_training(self.groups, self.ranked)
        first = next(iter([*(drawn[self.ranked[0].split] if self.ranked else []), *trained]), None)
        self.warnings = [
            text
            for text in (
                compared_words.without_evaluation(self.groups),
                compared_words.shared_goals(self.groups),
                *one_run.not_shown(shown, self.published),
            )
            if text
        ]
        chapters = [
            self._evaluation(ranking, drawn[ranking.split], first) for ranking in self.ranked
        ]
        chapters.insert(0, Chapter("words", "In words", self.said[1:]))
        chapters += [
            Chapter("budgets", "Budgets", tables=self._of("budgets")),
            Chapter(
                "beside",
                "Last episodes of agents",
                figures=figures.agents_beside(self.cohorts, self.n),
                tables=self._of("last_episodes"),
            ),
            Chapter(
                "meta-training",
                "Meta-training",
                figures=[one for one in trained if one is not first],
            ),
            Chapter(
                "cost", "Cost", small=compare_training.metrics(self.groups), tables=self._of("cost")
            ),
            Chapter(
                "runs",
                "The runs",
                tables=self._of("runs"),
                texts=[
                    (f"Specification of {own.name}", own.runs[0].record["spec_text"], False)
                    for own in self.groups
                ],
            ),
            Chapter("reading", "How to read this page", reading="reading_comparison.html"),
        ]
        return Page(
            title=self.title,
            date=date,
            answer="",
            headline=self.said[0],
            lede=[],
            next=[],
            cautions=[f"{words.capitalised(one)}." for one in self.warnings],
            first=first,
            chapters=chapters,
        )

    def _of(self, prefix: str) -> List[Table]:
        return [one for one in self.tables if one.name.startswith(prefix) and one.rows]

    def _evaluation(
        self, ranking: compare.Ranking, drawn: Sequence[Figure], first: "Figure | None"
    ) -> Chapter:
        split = figures.file_name(ranking.split)
        kinds = ("scores_", "published_", "parts_", "environments_", "differences_")
        return Chapter(
            f"evaluation-{split}",
            f"Evaluation: {words.goals(ranking.split, ranking.has_goals)}",
            figures=[one for one in drawn if one is not first],
            tables=[table for kind in kinds for table in self._of(f"{kind}{split}")],
        )

    def markdown(self) -> str:
        text = f"# {self.title}\n\n" + "\n".join(self.said) + "\n"
        return text + "".join(f"\n{one.markdown()}" for one in self.tables if one.rows)


def as_json(comparison: Comparison) -> Dict[str, object]:
    """For programs: the sentences, and each method's mean."""
    means = []
    for ranking in comparison.ranked:
        for one in ranking.contenders:
            sample = ranking.scores(one)
            if sample is not None:
                found = compare.aggregate(sample)
                own = [seed if math.isfinite(seed) else None for seed in found.seeds]
                means.append(
                    {
                        "split": ranking.split,
                        "method": one.name,
                        "value": found.interval._asdict(),
                        "by_meta_seed": own,
                    }
                )
    return {"sentences": comparison.said, "means": means}
