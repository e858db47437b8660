#include "mentor/report/last_episodes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/evaluation_method.h"
#include "mentor/report/summary.h"
#include "mentor/report/verdict.h"
#include "mentor/report/words.h"

namespace mentor::report {
namespace {

// Resolution of a curve.
constexpr int kPlacesMax = 200;
constexpr int kCurveResamples = 500;

std::string BesideName(const ReportData& data) {
  return data.signal_role.empty() ? "agents of meta-training" : "agents beside their signal";
}

bool IsPpo(v1::EvaluationMethod method) {
  return !IsLearned(method) && method != v1::EVALUATION_METHOD_RANDOM_SIGNAL;
}

Cohort BesideOf(const ReportData& data, const std::string& name, const Style& style) {
  return {.name = name,
          .beside = true,
          .style = style,
          .iteration_steps = data.identity.iteration_steps,
          .episodes_known = data.beside_known};
}

void AddBeside(const ReportData& data, size_t meta_seed, Cohort* cohort) {
  for (const EvaluationRow& row : data.beside) {
    cohort->lives.push_back({.meta_seed = meta_seed,
                             .row = &row,
                             .iterations = static_cast<int>(row.segment_episodes.size())});
  }
}

// Returns the number of episodes in the first iterations of a lifetime.
int EpisodesOf(const Cohort::Life& life, int iterations) {
  const EvaluationRow& row = *life.row;
  if (static_cast<int>(row.segment_episodes.size()) != life.iterations)
    return row.lifetime_episodes * iterations / life.iterations;  // Equally many per iteration.
  int episodes = 0;
  for (int i = 0; i < iterations; ++i) episodes += row.segment_episodes[i];
  return episodes;
}

double MeanOf(const std::vector<double>& values, int begin, int end) {
  double sum = 0;
  for (int i = begin; i < end; ++i) sum += values[i];
  return sum / (end - begin);
}

// Returns the mean over agents; a single agent has no interval.
Interval MeanInterval(const Scores& scores, int resamples) {
  if (scores.values.size() == 1) return {scores.values[0], kNone, kNone};
  return BootstrapStratified(
      scores, [](const PooledScores& s) { return std::vector<double>{Mean(s)}; }, BootstrapStream(),
      resamples)[0];
}

std::string ValueText(const Interval& value) {
  return std::isfinite(value.low) ? FormatInterval(value) : absl::StrFormat("%.2f", value.mean);
}

Table::Cell ValueCell(const Interval& value) {
  return {Table::Cell::Kind::kInterval, ValueText(value), value};
}

bool AnySuccess(const std::vector<Cohort>& cohorts) {
  for (const Cohort& cohort : cohorts) {
    for (const Cohort::Life& life : cohort.lives) {
      const auto& success = life.row->episode_success;
      if (std::any_of(success.begin(), success.end(), [](double value) { return value != 0; }))
        return true;
    }
  }
  return false;
}

// Returns the step limit for measuring evaluated agents: the steps of agents beside their signal,
// preferably of the same group.
uint64_t StepsBeside(const std::vector<Cohort>& cohorts, const Cohort& evaluated) {
  uint64_t own = 0, all = 0;
  for (const Cohort& cohort : cohorts) {
    if (!cohort.beside) continue;
    all = std::max(all, cohort.env_steps());
    if (cohort.group == evaluated.group) own = std::max(own, cohort.env_steps());
  }
  return own > 0 ? own : all;
}

// True if PPO is a baseline of agents beside their signal. It belongs to their group, to all
// groups, or to a group without such agents.
bool IsBaselineOf(const std::vector<Cohort>& cohorts, const Cohort& ppo, const Cohort& beside) {
  return ppo.is_ppo && (ppo.group.empty() || ppo.group == beside.group ||
                        std::none_of(cohorts.begin(), cohorts.end(), [&](const Cohort& other) {
                          return other.beside && other.group == ppo.group;
                        }));
}

std::string Counted(size_t fewest, size_t most) {
  return fewest == most ? Grouped(most)
                        : absl::StrFormat("%s to %s", Grouped(fewest), Grouped(most));
}

}  // namespace

uint64_t Cohort::env_steps() const {
  uint64_t most = 0;
  for (const Life& life : lives) {
    most = std::max(
        most, static_cast<uint64_t>(life.iterations) * static_cast<uint64_t>(iteration_steps));
  }
  return most;
}

std::vector<Cohort> CohortsOf(const ReportData& data) {
  if (data.beside.empty()) return {};
  std::vector<Cohort> cohorts = {BesideOf(data, BesideName(data), {"orange", 7, 1})};
  AddBeside(data, /*meta_seed=*/0, &cohorts[0]);
  std::string split;
  for (const EvaluationRow& row : data.evaluation) {
    if (split.empty() || SplitPlace(row.split) < SplitPlace(split)) split = row.split;
  }
  std::map<int, Cohort> evaluated;  // By the method's position.
  for (const EvaluationRow& row : data.evaluation) {
    if (row.split != split) continue;
    Cohort& cohort = evaluated[PlaceOf(row.method)];
    cohort.name = NameOf(row.method);
    cohort.is_ppo = IsPpo(row.method);
    cohort.style = StyleOf(row.method);
    cohort.iteration_steps =
        cohort.is_ppo ? data.identity.baseline_iteration_steps : data.identity.iteration_steps;
    cohort.lives.push_back({.row = &row, .iterations = data.iterations});
  }
  for (auto& [place, cohort] : evaluated) cohorts.push_back(std::move(cohort));
  return cohorts;
}

std::vector<Cohort> CohortsOf(const std::vector<Group>& groups,
                              const std::vector<Ranking>& rankings) {
  std::vector<Cohort> cohorts;
  for (size_t g = 0; g < groups.size(); ++g) {
    const ReportData& first = groups[g].runs[0]->data;
    Cohort cohort =
        BesideOf(first, absl::StrCat(groups[g].name, ": ", BesideName(first)), StyleOf(g));
    cohort.group = groups[g].name;
    for (size_t run = 0; run < groups[g].runs.size(); ++run)
      AddBeside(groups[g].runs[run]->data, /*meta_seed=*/run, &cohort);
    if (!cohort.lives.empty()) cohorts.push_back(std::move(cohort));
  }
  if (cohorts.empty() || rankings.empty()) return cohorts;
  for (const Contender& contender : rankings[0].contenders) {
    if (contender.best()) continue;
    Cohort cohort{.name = contender.learned() ? contender.name + ": frozen" : contender.name,
                  .group = contender.group,
                  .is_ppo = IsPpo(contender.method),
                  .style = contender.style,
                  .iteration_steps = contender.iteration_steps};
    if (contender.learned()) cohort.style.dash = 3;
    for (const Contender::Row& row : contender.rows)
      cohort.lives.push_back(
          {.meta_seed = row.meta_seed, .row = row.row, .iterations = row.iterations});
    cohorts.push_back(std::move(cohort));
  }
  return cohorts;
}

std::optional<LastEpisodes> Measure(const Cohort& cohort, int n, uint64_t env_steps,
                                    int resamples) {
  if (cohort.iteration_steps <= 0) return std::nullopt;
  const auto iteration_steps = static_cast<uint64_t>(cohort.iteration_steps);
  LastEpisodes last{
      .env_steps = std::min(env_steps / iteration_steps * iteration_steps, cohort.env_steps()),
      .fewest = std::numeric_limits<size_t>::max()};
  for (const Cohort::Life& life : cohort.lives) {
    const EvaluationRow& row = *life.row;
    const int iterations = static_cast<int>(
        std::min<uint64_t>(static_cast<uint64_t>(life.iterations), env_steps / iteration_steps));
    const int end = EpisodesOf(life, iterations), begin = std::max(0, end - n);
    const bool older_are_missing =
        cohort.episodes_known > 0 &&
        static_cast<size_t>(row.lifetime_episodes) >= cohort.episodes_known;
    if (end - begin < n && older_are_missing) return std::nullopt;
    if (end == 0 || row.episode_return.empty()) continue;
    for (Scores* scores : {&last.returns, &last.successes})
      scores->levels.push_back(LevelsOf(row, life.meta_seed));
    last.returns.values.push_back(MeanOf(row.episode_return, begin, end));
    last.successes.values.push_back(MeanOf(row.episode_success, begin, end));
    last.fewest = std::min(last.fewest, static_cast<size_t>(end - begin));
    last.most = std::max(last.most, static_cast<size_t>(end - begin));
  }
  if (last.returns.empty()) return std::nullopt;
  last.mean_return = MeanInterval(last.returns, resamples);
  last.mean_success = MeanInterval(last.successes, resamples);
  return last;
}

Table LastEpisodesTable(const std::vector<Cohort>& cohorts, int n) {
  using Kind = Table::Cell::Kind;
  const bool success = AnySuccess(cohorts);
  Table table("last_episodes",
              absl::StrFormat("Last %s of each agent, by environment steps of the agent",
                              n == 1 ? "episode" : absl::StrFormat("%d episodes", n)),
              {{"agents"},
               {"env steps", Kind::kNumber},
               {"number", Kind::kNumber},
               {"episodes of each"},
               {"return", Kind::kInterval},
               {"success", Kind::kInterval}});
  const auto add = [&](const Cohort& cohort, uint64_t env_steps) {
    const auto last = Measure(cohort, n, env_steps);
    if (!last) return;
    const auto whole = [](uint64_t number) {
      return Table::Number(static_cast<double>(number), Grouped(number));
    };
    table.Add({Table::Text(cohort.name), whole(last->env_steps), whole(last->returns.values.size()),
               Table::Text(Counted(last->fewest, last->most)), ValueCell(last->mean_return),
               success ? ValueCell(last->mean_success) : Table::None()});
  };
  for (const Cohort& cohort : cohorts) {
    if (!cohort.beside) {
      add(cohort, StepsBeside(cohorts, cohort));
      continue;
    }
    std::set<uint64_t> steps = {cohort.env_steps()};
    for (const Cohort& other : cohorts) {
      if (IsBaselineOf(cohorts, other, cohort))
        steps.insert(std::min(cohort.env_steps(), other.env_steps()));
    }
    for (auto at = steps.rbegin(); at != steps.rend(); ++at) add(cohort, *at);
  }
  return table;
}

std::vector<std::string> LastEpisodesWords(const std::vector<Cohort>& cohorts, int n) {
  const bool success = AnySuccess(cohorts);
  std::vector<std::string> sentences;
  const auto words = [&](const LastEpisodes& last) {
    std::string text = "a return of " + ValueText(last.mean_return);
    if (success) text += " and a success of " + ValueText(last.mean_success);
    return text + " (" + Several(last.returns.values.size(), "agent") + ")";
  };
  const std::string episodes = n == 1 ? "last episode" : absl::StrFormat("last %d episodes", n);
  for (const Cohort& cohort : cohorts) {
    if (!cohort.beside) continue;
    bool said = false;
    for (const Cohort& ppo : cohorts) {
      if (!IsBaselineOf(cohorts, ppo, cohort)) continue;
      const auto own = Measure(cohort, n, std::min(cohort.env_steps(), ppo.env_steps()));
      if (!own) continue;
      const auto other = Measure(ppo, n, own->env_steps);
      if (!other) continue;
      said = true;
      std::string text = absl::StrFormat(
          "Over the %s of an agent, after %s environment steps of it: %s have %s, %s %s", episodes,
          Grouped(own->env_steps), cohort.name, words(*own), ppo.name, words(*other));
      if (own->returns.values.size() > 1 && other->returns.values.size() > 1) {
        const Interval difference =
            BootstrapDifference(own->returns, other->returns, BootstrapStream());
        text += absl::StrCat("; their returns: ", WordsOf(VerdictOf(difference), ppo.name),
                             " (difference ", FormatInterval(difference), ")");
      }
      sentences.push_back(text + ".");
    }
    if (const auto own = Measure(cohort, n, cohort.env_steps()); !said && own) {
      sentences.push_back(
          absl::StrFormat("Over the %s of an agent, after %s environment steps of it: %s have %s.",
                          episodes, Grouped(own->env_steps), cohort.name, words(*own)));
    }
  }
  return sentences;
}

void DrawLastEpisodes(const std::vector<Cohort>& cohorts, int n, Drawing* drawing) {
  uint64_t most = 0;
  for (const Cohort& cohort : cohorts) most = std::max(most, cohort.env_steps());
  const StepUnit unit = StepUnitOf(static_cast<double>(most));
  const Axis x{.label = unit.prefix + "environment steps of an agent", .low = 0};
  Panel returns{.title = "Return", .x = x, .y = {.label = QuantityWords(Quantity::kReturn)}};
  Panel successes{.title = "Success", .x = x, .y = {.label = QuantityWords(Quantity::kSuccess)}};
  for (const Cohort& cohort : cohorts) {
    Series by_return{.name = cohort.name, .style = cohort.style};
    int iterations = 0;
    for (const Cohort::Life& life : cohort.lives)
      iterations = std::max(iterations, life.iterations);
    by_return.intervals = cohort.lives.size() > 1;
    Series by_success = by_return;
    const int places = std::min(iterations, kPlacesMax);
    for (int i = 1; i <= places; ++i) {
      const auto done = static_cast<uint64_t>(int64_t{iterations} * i / places);
      const auto last =
          Measure(cohort, n, done * static_cast<uint64_t>(cohort.iteration_steps), kCurveResamples);
      if (!last) continue;
      const double at = static_cast<double>(last->env_steps) / unit.steps;
      const auto place = [&](Interval value) {
        if (!std::isfinite(value.low)) value.low = value.high = value.mean;
        return Place{at, value};
      };
      by_return.places.push_back(place(last->mean_return));
      by_success.places.push_back(place(last->mean_success));
    }
    returns.series.push_back(std::move(by_return));
    successes.series.push_back(std::move(by_success));
  }
  FitRates(&successes);
  Figure figure{.name = "last_episodes_by_steps",
                .section = kBesideSection,
                .title = "Learning curves of agents",
                .caption = absl::StrFormat(
                    "At each place the mean over the %s that had ended: of agents while their "
                    "signal learned, and of fresh agents in the evaluation. Bands are 95 %% "
                    "intervals over agents.",
                    n == 1 ? "episode" : absl::StrFormat("last %d episodes", n)),
                .panels = {std::move(returns)},
                .columns = 2};
  if (AnySuccess(cohorts)) figure.panels.push_back(std::move(successes));
  AddFigure(std::move(figure), drawing);
}

}  // namespace mentor::report
