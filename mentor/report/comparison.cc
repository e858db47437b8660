#include "mentor/report/comparison.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <tuple>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "common/evaluation_method.h"
#include "mentor/report/html.h"
#include "mentor/report/last_episodes.h"
#include "mentor/report/page.h"
#include "mentor/report/summary.h"
#include "mentor/report/words.h"
#include "mentor/report/write.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::report {
namespace {

constexpr char kComparisonFolder[] = "comparison";
constexpr size_t kSeedsForUnit = 3;
constexpr int64_t kFreedomMin = 5;  // Degrees of freedom of a variance that is compared.

// Returns for each inner iteration the mean over the episodes that ended in it.
std::vector<double> IterationMeans(const EvaluationRow& row, int iterations, Quantity quantity) {
  std::vector<double> means(iterations, kNone);
  const auto& values = quantity == Quantity::kSuccess ? row.episode_success : row.episode_return;
  const bool counted = static_cast<int>(row.segment_episodes.size()) == iterations;
  int begin = 0;
  for (int i = 0; i < iterations; ++i) {
    const int end =
        counted ? begin + row.segment_episodes[i] : row.lifetime_episodes * (i + 1) / iterations;
    double sum = 0;
    for (int e = begin; e < end; ++e) sum += values[e];
    if (end > begin) means[i] = sum / (end - begin);
    begin = end;
  }
  return means;
}

// Returns the value after an iteration: that of the last iteration so far in which an episode
// ended.
double ValueAt(const std::vector<double>& means, int iteration) {
  const int last = static_cast<int>(means.size()) - 1;
  for (int i = iteration < 0 ? last : std::min(iteration, last); i >= 0; --i) {
    if (std::isfinite(means[i])) return means[i];
  }
  return kNone;
}

absl::Status Check(const ComparisonData& data) {
  if (data.runs.empty()) return absl::InvalidArgumentError("there are no runs to compare");
  std::map<std::string, std::string> names;  // Run names by experiment.
  // Run names by method and meta-seed.
  std::map<std::tuple<std::string, uint64_t, uint32_t>, std::string> seeds;
  for (const ComparedRun& run : data.runs) {
    const std::string& experiment = run.data.identity.experiment;
    const auto [first, is_new] = names.emplace(experiment, run.name);
    if (!is_new && !experiment.empty()) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s and %s are the same run (experiment %s), which would count as two; name it once",
          first->second, run.name, experiment));
    }
    const Identity& identity = run.data.identity;
    const auto [same, is_other] =
        seeds.emplace(std::tuple(identity.method, identity.seed, identity.goal_seed), run.name);
    if (!is_other) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s and %s have the same spec and the same meta-seed, %s, and would count as two "
          "meta-seeds; name one of them",
          same->second, run.name,
          identity.goal_seed > 0
              ? absl::StrFormat("seed %d and goal_seed %d", identity.seed, identity.goal_seed)
              : absl::StrFormat("seed %d", identity.seed)));
    }
    const auto results = SummariseEvaluation(run.data.evaluation, run.data.iterations);
    if (!results.ok()) {
      return absl::Status(results.status().code(),
                          absl::StrCat(run.name, ": ", std::string(results.status().message())));
    }
  }
  return absl::OkStatus();
}

// Collects the rows of one method on one split into a contender.
struct Builder {
  Contender contender;
  // Lifetimes added so far: the same agents on the same goal are the same lifetime.
  std::set<std::tuple<Levels, uint32_t, uint64_t>> known = {};

  // `run` is the run's index in its group.
  void Add(const EvaluationRow& row, size_t run, const ReportData& data) {
    if (row.lifetime_episodes == 0) return;
    // PPO has no meta-seed; it is distinguished by the draw of its goals.
    const size_t own = contender.has_meta_seeds() ? run : data.identity.goal_seed;
    if (!known.insert({LevelsOf(row, contender.has_meta_seeds() ? run : 0), row.lifetime, row.seed})
             .second)
      return;
    contender.rows.push_back({.meta_seed = own, .row = &row, .iterations = data.iterations});
  }
};

bool AnySuccess(const std::vector<Group>& groups) {
  for (const Group& group : groups) {
    for (const ComparedRun* run : group.runs) {
      for (const EvaluationRow& row : run->data.evaluation) {
        if (row.episode_return.empty()) return true;
        for (const double success : row.episode_success) {
          if (success != 0) return true;
        }
      }
    }
  }
  return false;
}

// Scores are per meta-seed when all methods have enough meta-seeds; PPO may have a single draw of
// goals.
Unit UnitOf(const Ranking& ranking) {
  Unit unit = Unit::kLifetime;
  for (const Contender& contender : ranking.contenders) {
    std::map<std::string, std::set<size_t>> seeds;
    for (const Contender::Row& row : contender.rows)
      seeds[row.row->environment].insert(row.meta_seed);
    const bool enough = std::all_of(seeds.begin(), seeds.end(), [](const auto& own) {
      return own.second.size() >= kSeedsForUnit;
    });
    if (enough) unit = Unit::kSeed;
    if (!enough && contender.has_meta_seeds()) return Unit::kLifetime;
  }
  return unit;
}

Ranking MakeRanking(const std::vector<Group>& groups, const std::string& split, Unit unit) {
  Ranking ranking{.split = split,
                  .quantity = AnySuccess(groups) ? Quantity::kSuccess : Quantity::kReturn};
  std::set<std::string> protocols;
  for (const Group& group : groups) protocols.insert(ProtocolOf(group));
  std::vector<Builder> learned, best, average, baselines;
  for (size_t g = 0; g < groups.size(); ++g) {
    const Group& group = groups[g];
    const Identity& identity = group.runs[0]->data.identity;
    const Style style = StyleOf(g);
    learned.push_back({.contender = {.name = group.name,
                                     .group = group.name,
                                     .method = v1::EVALUATION_METHOD_LEARNED,
                                     .style = style,
                                     .iteration_steps = identity.iteration_steps}});
    best.push_back({.contender = {.name = group.name + " (best)",
                                  .group = group.name,
                                  .method = v1::EVALUATION_METHOD_LEARNED_BEST,
                                  .style = style,
                                  .iteration_steps = identity.iteration_steps}});
    average.push_back(best.back());
    average.back().contender.name = group.name + " (average)";
    average.back().contender.method = v1::EVALUATION_METHOD_LEARNED_AVERAGE;
    for (size_t number = 0; number < group.runs.size(); ++number) {
      const ReportData& run = group.runs[number]->data;
      for (const EvaluationRow& row : run.evaluation) {
        if (row.split != split) continue;
        ranking.has_goals |= row.has_goals;
        if (row.method == v1::EVALUATION_METHOD_LEARNED) {
          learned.back().Add(row, number, run);
        } else if (row.method == v1::EVALUATION_METHOD_LEARNED_BEST) {
          best.back().Add(row, number, run);
        } else if (row.method == v1::EVALUATION_METHOD_LEARNED_AVERAGE) {
          average.back().Add(row, number, run);
        } else {
          // A random-signal baseline belongs to its method. PPO baselines are shared when the
          // protocols are equal.
          const bool random = row.method == v1::EVALUATION_METHOD_RANDOM_SIGNAL;
          const bool shared = random ? groups.size() == 1 : protocols.size() == 1;
          const std::string name = shared
                                       ? NameOf(row.method)
                                       : absl::StrFormat("%s (%s)", NameOf(row.method), group.name);
          auto found = std::find_if(baselines.begin(), baselines.end(),
                                    [&](const Builder& b) { return b.contender.name == name; });
          // A baseline of one method takes the method's colour.
          Style own = StyleOf(row.method);
          if (!shared) own.colour = style.colour;
          if (found == baselines.end()) {
            found = baselines.insert(
                baselines.end(),
                Builder{.contender = {.name = name,
                                      .group = shared ? "" : group.name,
                                      .method = row.method,
                                      .style = own,
                                      .iteration_steps = random
                                                             ? identity.iteration_steps
                                                             : identity.baseline_iteration_steps}});
          }
          found->Add(row, number, run);
        }
      }
    }
  }
  std::stable_sort(baselines.begin(), baselines.end(), [](const Builder& a, const Builder& b) {
    return PlaceOf(a.contender.method) < PlaceOf(b.contender.method);
  });
  for (auto* builders : {&learned, &best, &average, &baselines}) {
    for (Builder& builder : *builders) {
      if (!builder.contender.rows.empty())
        ranking.contenders.push_back(std::move(builder.contender));
    }
  }
  // The strata are the environments that all contenders have.
  std::map<std::string, size_t> counts;
  for (Contender& contender : ranking.contenders) {
    std::set<std::string> own;
    for (const Contender::Row& row : contender.rows) own.insert(row.row->environment);
    for (const std::string& environment : own) ++counts[environment];
  }
  for (const auto& [environment, count] : counts) {
    if (count == ranking.contenders.size()) ranking.environments.push_back(environment);
  }
  for (Contender& contender : ranking.contenders) {
    for (const Contender::Row& row : contender.rows)
      contender.iterations.push_back(IterationMeans(*row.row, row.iterations, ranking.quantity));
  }
  ranking.unit = unit == Unit::kAuto ? UnitOf(ranking) : unit;
  return ranking;
}

// Returns differing settings such as "rule.learning_rate 1e-3" by method. Covers groups with equal
// titles whose specs differ in at most three settings.
std::map<std::string, std::string> DifferencesOfEqualTitles(const std::vector<Group>& groups) {
  constexpr size_t kMost = 3;
  std::map<std::string, std::vector<const Identity*>> by_title;
  for (const Group& group : groups) by_title[group.name].push_back(&group.runs[0]->data.identity);
  std::map<std::string, std::string> differences;
  for (const auto& [title, methods] : by_title) {
    const auto value = [](const Identity* method, const std::string& name) {
      const auto found = method->settings.find(name);
      return found == method->settings.end() ? "default" : found->second;
    };
    std::set<std::string> names;
    for (const Identity* method : methods) {
      for (const auto& [name, text] : method->settings) {
        if (std::any_of(methods.begin(), methods.end(),
                        [&](const Identity* other) { return value(other, name) != text; }))
          names.insert(name);
      }
    }
    if (names.empty() || names.size() > kMost) continue;
    for (const Identity* method : methods) {
      std::vector<std::string> parts;
      for (const std::string& name : names)
        parts.push_back(absl::StrCat(name, " ", value(method, name)));
      differences[method->method] = absl::StrJoin(parts, ", ");
    }
  }
  return differences;
}

}  // namespace

absl::Status LabelMethods(const std::map<std::string, std::string>& labels,
                          std::vector<ComparedRun>* runs) {
  std::map<std::string, const ComparedRun*> by_method, by_label;
  for (const ComparedRun& run : *runs) {
    const auto label = labels.find(run.name);
    if (label == labels.end()) continue;
    const auto [first, is_new] = by_method.emplace(run.data.identity.method, &run);
    if (!is_new && labels.at(first->second->name) != label->second) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "--label: %s and %s are meta-seeds of one method and get two names, '%s' and '%s'; label "
          "one of them",
          first->second->name, run.name, labels.at(first->second->name), label->second));
    }
    const auto [other, is_free] = by_label.emplace(label->second, &run);
    if (!is_free && other->second->data.identity.method != run.data.identity.method) {
      return absl::InvalidArgumentError(
          absl::StrFormat("--label: %s and %s are two methods and get the same name, '%s'; give "
                          "each its own",
                          other->second->name, run.name, label->second));
    }
  }
  std::set<std::string> taken;
  for (const EvaluationMethodInfo& info : EvaluationMethods()) {
    if (!info.learned) taken.insert(info.name);
  }
  for (const ComparedRun& run : *runs) {
    if (!by_method.contains(run.data.identity.method)) taken.insert(run.data.title);
  }
  for (const auto& [label, run] : by_label) {
    if (!taken.contains(label)) continue;
    return absl::InvalidArgumentError(absl::StrFormat(
        "--label: %s gets the name '%s', which is taken; give it another one than %s", run->name,
        label, absl::StrJoin(taken, ", ")));
  }
  for (ComparedRun& run : *runs) {
    const auto found = by_method.find(run.data.identity.method);
    if (found != by_method.end()) run.data.title = labels.at(found->second->name);
  }
  return absl::OkStatus();
}

std::string ProtocolOf(const Group& group) {
  std::set<uint64_t> goal_seeds;
  for (const ComparedRun* run : group.runs) goal_seeds.insert(run->data.identity.goal_seed);
  return absl::StrCat(group.runs[0]->data.identity.protocol, "\n", RangesOf(goal_seeds));
}

std::string SharedGoals(const std::vector<Group>& groups) {
  const auto shares = [](const std::set<std::string>& x, const std::set<std::string>& y) {
    return std::any_of(x.begin(), x.end(), [&](const auto& goal) { return y.contains(goal); });
  };
  std::set<std::string> pairs;
  for (const Group& group : groups) {
    for (const ComparedRun* tested : group.runs) {
      for (const ComparedRun* trained : group.runs) {
        const Identity &x = tested->data.identity, &y = trained->data.identity;
        if (x.goal_seed != y.goal_seed && shares(x.test_goals, y.training_goals))
          pairs.insert(
              absl::StrFormat("test goals of goal_seed %d are training goals of goal_seed %d",
                              x.goal_seed, y.goal_seed));
      }
    }
  }
  if (pairs.empty()) return "";
  return absl::StrCat(
      absl::StrJoin(pairs, ", "),
      ": meta-seeds of one method share goals, and the intervals count them as "
      "independent; give runs odd goal seeds, --set benchmark.goal_seed=1, 3, 5, ...");
}

std::string WithoutEvaluation(const std::vector<Group>& groups) {
  std::vector<std::string> without;
  size_t all = 0;
  for (const Group& group : groups) {
    for (const ComparedRun* run : group.runs) {
      ++all;
      if (run->data.evaluation.empty()) without.push_back(run->name);
    }
  }
  if (without.empty() || without.size() == all) return "";
  return absl::StrCat("there is no evaluation of ", absl::StrJoin(without, ", "),
                      ": scores and their meta-seeds are of the other runs alone; end the run, or "
                      "leave it out");
}

bool EstimateVarianceAlike(const std::vector<Group>& groups) {
  std::set<std::vector<std::string>> estimators;
  for (const Group& group : groups) {
    for (const ComparedRun* run : group.runs) {
      const Identity& identity = run->data.identity;
      const auto number = [&](const std::string& setting, int64_t otherwise) {
        const auto found = identity.settings.find(setting);
        int64_t value = otherwise;
        if (found != identity.settings.end()) (void)absl::SimpleAtoi(found->second, &value);
        return value;
      };
      const int64_t lifetimes = identity.lifetimes_per_update;
      // Rules by gradient have a part for each shard, PPO rules one for each group of lifetimes.
      const int64_t shard =
          number("rule.shard_lifetimes", v1::RuleSpec::default_instance().shard_lifetimes());
      const bool in_groups = identity.settings.contains("rule.gradient_variance");
      int64_t part = in_groups ? number("rule.group_lifetimes", 0) : shard;
      if (part <= 0) part = std::max<int64_t>(5, (lifetimes + 11) / 12);
      if ((lifetimes + part - 1) / part - 1 < kFreedomMin) return false;
      estimators.insert({identity.rule, absl::StrCat(lifetimes), absl::StrCat(part)});
    }
  }
  return estimators.size() == 1;
}

std::string MetaSeedName(const std::vector<Group>& groups, const ComparedRun& run) {
  std::set<uint32_t> draws;
  for (const Group& group : groups) {
    for (const ComparedRun* other : group.runs) draws.insert(other->data.identity.goal_seed);
  }
  std::string name = absl::StrCat(run.data.identity.seed);
  if (draws.size() > 1) absl::StrAppend(&name, " (goals ", run.data.identity.goal_seed, ")");
  return name;
}

std::vector<Group> GroupRuns(const std::vector<ComparedRun>& runs) {
  std::vector<Group> groups;
  std::vector<std::string> keys;
  for (const ComparedRun& run : runs) {
    const std::string& key = run.data.identity.method;
    const size_t place =
        static_cast<size_t>(std::find(keys.begin(), keys.end(), key) - keys.begin());
    if (place == keys.size()) {
      keys.push_back(key);
      groups.push_back({.name = run.data.title, .runs = {}});
    }
    groups[place].runs.push_back(&run);
  }
  // Tell equal titles apart by the settings in which they differ (if there are few), then by rule,
  // then by number.
  const auto tell_apart = [&](const std::function<std::string(const Group&, int)>& suffix) {
    std::map<std::string, int> counts, seen;
    for (const Group& group : groups) ++counts[group.name];
    for (Group& group : groups) {
      const std::string name = group.name;
      if (counts[name] > 1) group.name += suffix(group, ++seen[name]);
    }
  };
  const std::map<std::string, std::string> differences = DifferencesOfEqualTitles(groups);
  tell_apart([&](const Group& group, int) {
    const ReportData& data = group.runs[0]->data;
    const auto found = differences.find(data.identity.method);
    if (found != differences.end()) return absl::StrFormat(" [%s]", found->second);
    if (data.signal_role.empty()) return absl::StrFormat(" [%s]", data.identity.rule);
    return absl::StrFormat(" [%s %s %s]", data.identity.rule, data.identity.signal,
                           data.signal_role);
  });
  tell_apart([](const Group&, int number) { return absl::StrFormat(" #%d", number); });
  return groups;
}

std::vector<Ranking> Rankings(const std::vector<Group>& groups, Unit unit) {
  std::vector<std::string> splits;
  for (const Group& group : groups) {
    for (const ComparedRun* run : group.runs) {
      for (const EvaluationRow& row : run->data.evaluation) {
        if (std::find(splits.begin(), splits.end(), row.split) == splits.end())
          splits.push_back(row.split);
      }
    }
  }
  std::stable_sort(splits.begin(), splits.end(), [](const auto& a, const auto& b) {
    return std::tuple(SplitPlace(a), a) < std::tuple(SplitPlace(b), b);
  });
  std::vector<Ranking> rankings;
  for (const std::string& split : splits) {
    Ranking ranking = MakeRanking(groups, split, unit);
    if (!ranking.contenders.empty() && !ranking.environments.empty())
      rankings.push_back(std::move(ranking));
  }
  return rankings;
}

Scores ScoresOf(const Ranking& ranking, const Contender& contender, int iteration) {
  Scores scores{.of_seeds = ranking.unit == Unit::kSeed};
  std::set<std::string> present;
  for (size_t i = 0; i < contender.rows.size(); ++i) {
    const Contender::Row& row = contender.rows[i];
    const double value = ValueAt(contender.iterations[i], iteration);
    if (!std::isfinite(value) || !ranking.Has(row.row->environment)) continue;
    scores.levels.push_back(LevelsOf(*row.row, row.meta_seed));
    scores.values.push_back(value);
    present.insert(row.row->environment);
  }
  return present.size() == ranking.environments.size() ? scores : Scores();
}

namespace {

constexpr char kHowToCompare[] = R"(<details><summary>How to read this page</summary>
<ul>
<li><b>score</b>: the success rate (where nothing succeeds, the shaped return) at the end of a
lifetime, after the agent's last update. <b>IQM</b>: the interquartile mean, the mean of the middle
half of all scores. IQM and median are left out where most scores of a method are 0 or 1: they then
hide what differs.</li>
<li><b>Intervals</b> are 95 % percentile bootstrap intervals by levels (2000 resamples, always the
same random numbers): a resample draws meta-seeds, within each of them goals, and within each goal
lifetimes, in every environment. Where a method has one meta-seed, its interval does not cover other
meta-seeds. The numbers in parentheses are those of each meta-seed alone, in the order of the table
of runs; those of PPO are of each draw of goals.</li>
<li><b>Differences</b> of means are paired by goal where both methods lived on the same goals: a
resample draws the goals once for both. A method is <b>better</b> or <b>worse</b> where the interval
leaves 0 out; otherwise the two <b>cannot be told apart</b>.</li>
<li><b>Performance profile</b>: the share of scores above each value. A curve that lies higher is
better there. <b>Probability of improvement</b>: in how many of all pairs a score of one method is
higher than one of another; ties count half.</li>
<li><b>meta-seed</b>: the seed of a spec, which decides the first weights of the signal network and
all chance in meta-training, together with the goal seed, which draws the lists of goals where a
benchmark has some. Runs whose specs differ in these two alone are one method. <b>Seed of
agents</b>: decides the agents' first weights and actions in an evaluation, and goals that are in no
list.</li>
<li><b>random signal</b>: the signal network (of rules without one, whatever they learn) as it was
before meta-training, with random weights.</li>
<li><b>generation</b>: where an outer update is one part of a lifetime, the agents that begin
together.</li>
<li><b>agents beside their signal</b>: where an outer update is one part of a lifetime, agents learn
while their signal does. The mean is over the last whole episodes of each agent. Evaluated agents,
and those of a signal that is <b>frozen</b>, are measured after as many environment steps.</li>
<li><b>before learning</b>: no signal can act there; rules that learn the agents' first policy can.
<b>last episode</b>: the last one of the lifetime. <b>without noise</b>: deterministic
episodes after it. Files call the parts of a lifetime seg0, seg1, seg2, ...</li>
<li><b>(best)</b>: the weights with the best score on training goals during meta-training, not the
final ones. The table of runs says after which outer update.</li>
<li><b>Budgets</b> are what meta-training had: outer updates, lifetimes of agents, environment steps
and CPU seconds of all its processes. The table of budgets says which, and whether they are
equal.</li>
</ul>
<p>Agarwal, Schwarzer, Castro, Courville and Bellemare (2021), Deep reinforcement learning at the
edge of the statistical precipice. Davison and Hinkley (1997), Bootstrap methods and their
application, section 3.8. Saravanan, Berman and Sober (2020), Application of the hierarchical
bootstrap to multi-level data in neuroscience. Owen (2007), The pigeonhole bootstrap.</p></details>
)";

std::string MakeComparisonPage(const std::string& title, const std::string& date,
                               const std::vector<Group>& groups,
                               const std::vector<Ranking>& rankings, const ComparisonTables& tables,
                               const Drawing& drawing,
                               const std::map<std::string, std::string>& svgs,
                               const std::vector<std::string>& warnings) {
  std::string html = PageHead(title);
  html += "<p class=\"sub\">Runs side by side: fresh agents, taught by what each run has learned." +
          (date.empty() ? "" : " Comparison of " + EscapeHtml(date) + ".") +
          "</p>\n<div class=\"summary\">\n";
  for (const std::string& sentence : tables.summary)
    html += "<p>" + EscapeHtml(sentence) + "</p>\n";
  html += "</div>\n";
  for (const std::string& warning : warnings) html += Warning(warning);
  html += kHowToCompare;
  const auto tables_of = [&](const std::string& prefix) {
    std::string text;
    for (const Table& table : tables.tables) {
      if (!table.name().starts_with(prefix) || table.empty()) continue;
      text += table.Html() +
              absl::StrFormat(
                  "<p class=\"note\"><a href=\"%s/%s.csv\">CSV<span hidden> of %s</span>"
                  "</a></p>\n",
                  kComparisonFolder, EscapeHtml(table.name()), EscapeHtml(table.title()));
    }
    return text;
  };
  const auto figures_of = [&](const std::string& section) {
    std::string text;
    for (const Figure& figure : drawing.figures) {
      if (figure.section == section) text += FigureHtml(figure, svgs, kComparisonFolder);
    }
    return text.empty() ? "" : "<div class=\"figures\">\n" + text + "</div>\n";
  };
  std::vector<Chapter> chapters = {{"budgets", "Budgets", tables_of("budgets")}};
  for (const Ranking& ranking : rankings) {
    const std::string split = FileName(ranking.split);
    chapters.push_back(
        {"evaluation-" + split, "Evaluation: " + GoalsOf(ranking.split, ranking.has_goals),
         tables_of("scores_" + split) + tables_of("published_" + split) +
             figures_of("evaluation_" + split) + tables_of("parts_" + split) +
             tables_of("environments_" + split) + tables_of("differences_" + split)});
  }
  if (rankings.empty()) {
    chapters.push_back({"evaluation", "Evaluation", "<p>There are no scores to compare.</p>\n"});
  }
  if (std::string beside = tables_of("last_episodes"); !beside.empty())
    chapters.push_back({"beside", kBesideTitle, beside + figures_of(kBesideSection)});
  chapters.push_back({"meta-training", "Meta-training", figures_of("training")});
  chapters.push_back({"cost", "Cost", tables_of("cost") + figures_of("cost")});
  std::string runs = tables_of("runs");
  for (const Group& group : groups) {
    runs += "<details><summary>Specification of " + EscapeHtml(group.name) +
            "</summary>\n<pre tabindex=\"0\">" + EscapeHtml(group.runs[0]->data.spec_text) +
            "</pre></details>\n";
  }
  runs += absl::StrFormat(
      "<p class=\"note\">All tables as <a href=\"%s/tables.md\">Markdown</a>."
      "</p>\n",
      kComparisonFolder);
  chapters.push_back({"runs", "The runs", std::move(runs)});
  return html + Contents(chapters) + PageEnd(drawing.figures);
}

}  // namespace

absl::StatusOr<ReportFiles> WriteComparison(const ComparisonData& data,
                                            const std::filesystem::path& folder,
                                            const ReportOptions& options) {
  MENTOR_RETURN_IF_ERROR(Check(data));
  const std::vector<Group> groups = GroupRuns(data.runs);
  const std::vector<Ranking> rankings = Rankings(groups, data.unit);
  const std::vector<Cohort> cohorts = CohortsOf(groups, rankings);
  ComparisonTables tables = Tabulate(groups, rankings);
  tables.tables.push_back(LastEpisodesTable(cohorts, options.last_episodes));
  for (std::string& sentence : LastEpisodesWords(cohorts, options.last_episodes))
    tables.summary.push_back(std::move(sentence));
  const std::vector<EpisodeCurves> episodes = EpisodesOfStandings(groups, rankings);
  for (Table& table : PublishedTables(episodes, options.published))
    tables.tables.push_back(std::move(table));
  Drawing drawing;
  DrawComparison(groups, rankings, episodes, options.published, &drawing);
  DrawLastEpisodes(cohorts, options.last_episodes, &drawing);
  std::string title = data.title;
  if (title.empty()) {
    std::vector<std::string> names;
    for (const Group& group : groups) names.push_back(group.name);
    title = names.size() <= 3 ? absl::StrJoin(names, " / ")
                              : absl::StrFormat("Comparison of %d methods", names.size());
  }
  std::string markdown = "# " + title + "\n\n";
  for (const std::string& sentence : tables.summary) markdown += sentence + "\n";
  for (const Table& table : tables.tables) {
    if (table.empty()) continue;
    drawing.tables.push_back({table.name() + ".csv", table.Csv()});
    markdown += "\n" + table.Markdown();
  }
  drawing.tables.push_back({"tables.md", markdown});
  const std::filesystem::path files = folder / kComparisonFolder;
  MENTOR_ASSIGN_OR_RETURN(WrittenDrawing written, WriteDrawing(drawing, files, options.gnuplot));
  ReportFiles report{.html = folder / "comparison.html",
                     .others = written.files,
                     .summary = absl::StrJoin(tables.summary, "\n")};
  AddWarnings({WithoutEvaluation(groups), SharedGoals(groups),
               NotShown(episodes, options.published), MissingPictures(written.drawn)},
              &report.warnings);
  MENTOR_RETURN_IF_ERROR(
      WriteText(report.html, MakeComparisonPage(title, data.runs[0].data.date, groups, rankings,
                                                tables, drawing, written.svgs, report.warnings)));
  return report;
}

}  // namespace mentor::report
