// The training budgets of the runs of a comparison.
#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "common/evaluation_method.h"
#include "mentor/report/comparison.h"
#include "mentor/report/words.h"

namespace mentor::report {
namespace {

struct Resource {
  const char* name;
  double Budget::*member;
};
constexpr Resource kResources[] = {{"outer updates", &Budget::updates},
                                   {"lifetimes", &Budget::lifetimes},
                                   {"environment steps", &Budget::env_steps},
                                   {"CPU seconds", &Budget::cpu_seconds}};

// Returns the least and the greatest value of the runs; NaN when no value is known.
std::pair<double, double> RangeOfBudget(const std::vector<Budget>& budgets,
                                        double Budget::*member) {
  double least = kNone, greatest = kNone;
  for (const Budget& budget : budgets) {
    const double value = budget.*member;
    if (!std::isfinite(value)) continue;
    if (!(value >= least)) least = value;
    if (!(value <= greatest)) greatest = value;
  }
  return {least, greatest};
}

std::vector<Budget> BudgetsOf(const std::vector<Group>& groups) {
  std::vector<Budget> budgets;
  for (const Group& group : groups) {
    for (const ComparedRun* run : group.runs) budgets.push_back(BudgetOf(run->data));
  }
  return budgets;
}

// Returns "40 outer updates, 5,120 lifetimes and 31 CPU seconds", without unknown values.
std::string ListOf(const std::vector<Budget>& budgets, bool with_cpu) {
  std::vector<std::string> parts;
  for (const Resource& resource : kResources) {
    if (!with_cpu && resource.member == &Budget::cpu_seconds) continue;
    const std::string range = RangeWords(budgets, resource.member);
    if (!range.empty()) parts.push_back(range + " " + resource.name);
  }
  const std::string last = parts.empty() ? "nothing" : parts.back();
  if (parts.size() < 2) return last;
  parts.pop_back();
  return absl::StrJoin(parts, ", ") + " and " + last;
}

}  // namespace

double MeanOf(const std::vector<Budget>& budgets, double Budget::*member) {
  double sum = 0;
  int known = 0;
  for (const Budget& budget : budgets) {
    if (!std::isfinite(budget.*member)) continue;
    sum += budget.*member;
    ++known;
  }
  return known > 0 ? sum / known : kNone;
}

std::string RangeWords(const std::vector<Budget>& budgets, double Budget::*member) {
  const auto [least, greatest] = RangeOfBudget(budgets, member);
  if (!std::isfinite(least)) return "";
  const std::string low = Grouped(static_cast<uint64_t>(std::llround(least))),
                    high = Grouped(static_cast<uint64_t>(std::llround(greatest)));
  return low == high ? low : low + " to " + high;
}

Budget BudgetOf(const ReportData& data) {
  Budget budget{.lifetimes = kNone};
  if (!data.training.empty()) {
    const TrainingPoint& last = data.training.back();
    budget.updates = last.outer_update;
    budget.env_steps = static_cast<double>(last.env_steps);
    // Agents that live across outer updates begin once per generation.
    const auto generation = last.metrics.find("generation");
    const double rounds =
        generation == last.metrics.end() ? budget.updates : generation->second + 1;
    if (data.identity.lifetimes_per_update > 0)
      budget.lifetimes = rounds * data.identity.lifetimes_per_update;
  } else if (data.identity.lifetimes_per_update > 0) {
    budget.lifetimes = 0;
  }
  budget.cpu_seconds = data.training.empty()              ? 0
                       : UpdatesBefore(data.training) > 0 ? kNone
                                                          : CpuSeconds(data.training);
  for (const EvaluationRow& row : data.evaluation) {
    if (row.method == v1::EVALUATION_METHOD_LEARNED) ++budget.evaluated;
  }
  return budget;
}

std::string BudgetWords(const std::vector<Group>& groups) {
  constexpr size_t kListed = 3;
  const std::vector<Budget> all = BudgetsOf(groups);
  if (all.size() < 2) return "";
  const bool equal = std::all_of(all.begin(), all.end(), [&](const Budget& budget) {
    const auto same = [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); };
    return same(budget.updates, all[0].updates) && same(budget.lifetimes, all[0].lifetimes) &&
           same(budget.env_steps, all[0].env_steps);
  });
  if (equal) {
    std::vector<std::string> cpu;
    for (const Group& group : groups) {
      const std::string range = RangeWords(BudgetsOf({group}), &Budget::cpu_seconds);
      if (!range.empty()) cpu.push_back(group.name + " " + range);
    }
    return "All runs had the same budget of meta-training: " + ListOf(all, false) + " each." +
           (cpu.empty() ? "" : " CPU seconds of a run: " + absl::StrJoin(cpu, ", ") + ".");
  }
  std::string text = "The budgets of meta-training were not equal: ";
  if (groups.size() > kListed) return text + "a run had " + ListOf(all, true) + ".";
  std::vector<std::string> parts;
  for (const Group& group : groups)
    parts.push_back("a run of " + group.name + " had " + ListOf(BudgetsOf({group}), true));
  return text + absl::StrJoin(parts, "; ") +
         ". Compare the curves against environment steps and CPU seconds.";
}

std::string UnknownCosts(const std::vector<Group>& groups) {
  std::vector<std::string> runs;
  for (const Group& group : groups) {
    for (const ComparedRun* run : group.runs) {
      const uint32_t before = UpdatesBefore(run->data.training);
      if (before == 0) continue;
      const std::string& origin = run->data.origin;
      runs.push_back(absl::StrCat(run->name, " (its first ", Several(before, "outer update"),
                                  before == 1 ? " was" : " were", " made ",
                                  origin.empty() ? "elsewhere" : "in " + origin, ")"));
    }
  }
  if (runs.empty()) return "";
  return "CPU seconds and wall time leave out " + absl::StrJoin(runs, ", ") + ".";
}

Table BudgetTable(const std::vector<Group>& groups) {
  using Kind = Table::Cell::Kind;
  Table table("budgets",
              "Budget of a run of each method: what meta-training had, and how many lifetimes its "
              "weights were evaluated on",
              {{"method"},
               {"runs", Kind::kNumber},
               {"outer updates", Kind::kNumber},
               {"lifetimes", Kind::kNumber},
               {"environment steps", Kind::kNumber},
               {"CPU seconds", Kind::kNumber},
               {"evaluated lifetimes", Kind::kNumber}});
  for (const Group& group : groups) {
    const std::vector<Budget> budgets = BudgetsOf({group});
    std::vector<Table::Cell> row = {
        Table::Text(group.name),
        Table::Number(static_cast<double>(budgets.size()), Grouped(budgets.size()))};
    const auto add = [&](double Budget::*member) {
      row.push_back(Table::Number(MeanOf(budgets, member), RangeWords(budgets, member)));
    };
    for (const Resource& resource : kResources) add(resource.member);
    add(&Budget::evaluated);
    table.Add(std::move(row));
  }
  return table;
}

}  // namespace mentor::report
