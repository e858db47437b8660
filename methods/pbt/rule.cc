// Population based training (Jaderberg et al. 2017; methods/pbt/README.md). Agents learn side by
// side from the task's own reward, with separate hyperparameters. At intervals the worst continue
// with the weights of the best, and with their hyperparameters slightly changed. One outer update
// is one inner iteration.
#include "methods/pbt/rule.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/rng.h"
#include "methods/base/outer_rule.h"
#include "methods/shared/lineage.h"

namespace mentor::methods {

using torch::Tensor;

namespace pbt_rule {

double Explored(const PopulationConfig& config, const Hyperparameter& x, double value,
                double whether, double which) {
  if (whether < config.resample) return x.At(which);
  if (config.explore == Explore::kPerturb) {
    value *= which < 0.5 ? 1.2 : 0.8;
  } else {
    value = x.At(x.PlaceOf(value) + 0.2 * which - 0.1);
  }
  return std::clamp(value, x.low, x.high);
}

}  // namespace pbt_rule

Selection SelectAndExplore(const PopulationConfig& config, const Tensor& scores,
                           const Tensor& hyperparameters, const Tensor& uniforms) {
  const int64_t members = scores.numel();
  const auto h = static_cast<int64_t>(config.hyperparameters.size());
  const Tensor score = scores.to(torch::kFloat64).contiguous();
  const double* of = score.const_data_ptr<double>();
  std::vector<uint32_t> order(static_cast<size_t>(members));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    if (!std::isfinite(of[a]) || !std::isfinite(of[b]))
      return !std::isfinite(of[a]) && std::isfinite(of[b]);
    return of[a] < of[b];
  });
  const auto count = static_cast<size_t>(
      std::max<double>(1, std::floor(config.fraction * static_cast<double>(members))));
  Selection selection{.bottom = {order.begin(), order.begin() + static_cast<int64_t>(count)},
                      .top = {order.end() - static_cast<int64_t>(count), order.end()},
                      .parents = std::vector<uint32_t>(order.size()),
                      .hyperparameters = hyperparameters.to(torch::kFloat64).clone()};
  std::iota(selection.parents.begin(), selection.parents.end(), 0);
  const auto before = hyperparameters.to(torch::kFloat64).contiguous();
  const auto old = before.accessor<double, 2>();
  const Tensor chance = uniforms.to(torch::kFloat64).contiguous();
  const auto uniform = chance.accessor<double, 2>();
  auto now = selection.hyperparameters.accessor<double, 2>();
  for (const uint32_t member : selection.bottom) {
    const size_t place =
        std::min(count - 1, static_cast<size_t>(uniform[member][0] * static_cast<double>(count)));
    const uint32_t parent = selection.top[place];
    if (parent == member) continue;
    selection.parents[member] = parent;
    for (int64_t j = 0; j < h; ++j) {
      now[member][j] =
          pbt_rule::Explored(config, config.hyperparameters[static_cast<size_t>(j)], old[parent][j],
                             uniform[member][1 + 2 * j], uniform[member][2 + 2 * j]);
    }
  }
  return selection;
}

namespace pbt_rule {

// Columns of the lineage before the hyperparameters: update, member, parent (-1: born).
constexpr int64_t kMemberColumns = 3;

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

struct Config {
  PopulationConfig population;
  int64_t ready = 1, window = 1;
  bool by_success = false;
};

const auto kOptions = Bind<Config>(
    {{&Config::ready, "ready", "1", 1, 1e6, "Inner iterations between two selections."},
     {In(&Config::population, &PopulationConfig::fraction), "fraction", "0.2", 0, 0.5,
      "Share of the members that copy, and that are copied; at least one member."},
     {In(&Config::population, &PopulationConfig::resample), "resample", "0.25", 0, 1,
      "Probability that a copied hyperparameter is drawn afresh."},
     {In(&Config::population, &PopulationConfig::explore),
      "explore",
      {{"perturb", Explore::kPerturb}, {"add", Explore::kAdd}},
      "How a copied hyperparameter changes: times 0.8 or 1.2, or plus or minus up to a tenth of "
      "its range. Multiplication cannot leave 0."},
     {&Config::by_success,
      "score",
      {{"shaped", false}, {"success", true}},
      "What ranks the members of an environment: mean shaped reward or success signal."},
     {&Config::window, "window", "1", 1, 1000,
      "Last inner iterations that the score is the mean of."}});

Config ReadConfig(const RuleContext& context) {
  return kOptions.Read(context.options,
                       {.population = {.hyperparameters = TunedHyperparameters(context.options)}});
}

class Pbt : public OuterRule {
 public:
  explicit Pbt(const RuleContext& context) : Pbt(context, ReadConfig(context)) {}
  Pbt(const RuleContext& context, const Config& config)
      : OuterRule(context),
        config_(config.population),
        seed_(context.spec.seed()),
        members_(context.lifetimes()),
        ready_(config.ready),
        window_(config.window),
        by_success_(config.by_success),
        lineage_(kMemberColumns + static_cast<int64_t>(config_.hyperparameters.size())) {
    const auto h = static_cast<int64_t>(config_.hyperparameters.size());
    hyperparameters_ = torch::empty({members_, h}, torch::kFloat64);
    auto values = hyperparameters_.accessor<double, 2>();
    const RandomStream stream{.seed = seed_, .purpose = Purpose::kPopulation};
    for (int64_t i = 0; i < members_; ++i) {
      // Draws that follow those of the first selection.
      for (int64_t j = 0; j < h; ++j) {
        values[i][j] = config_.hyperparameters[static_cast<size_t>(j)].At(
            stream.Uniform(static_cast<uint32_t>(i), static_cast<uint32_t>(1 + 2 * h + j)));
      }
    }
    scores_ = torch::zeros({members_, 0}, torch::kFloat64);
    for (int64_t i = 0; i < members_; ++i) Note(/*outer_step=*/0, i, /*parent=*/-1);
  }

  RuleNeeds needs() const override {
    // Scores on different tasks would compare tasks.
    return {.network = RuleNeeds::Network::kNone,
            .decisions_inside_lifetime = true,
            .segments = false,
            .alike = RuleNeeds::Alike::kTask};
  }
  Tensor meta_parameters() const override { return hyperparameters_.flatten().to(torch::kFloat32); }

  RuleSizes Sizes() const override {
    RuleSizes sizes = SizesOfWeights(hyperparameters_.numel());
    // Each selection replaces half of the members at most.
    const double copies =
        static_cast<double>(context_.outer_updates() / ready_) * static_cast<double>(members_) / 2;
    sizes.bytes += Lineage::BytesMax(static_cast<double>(members_) + copies,
                                     kMemberColumns + hyperparameters_.size(1));
    return sizes;
  }

  void State(StateFields* fields) override {
    fields->Add("hyperparameters", &hyperparameters_);
    fields->AddPart(
        [this](TensorMap* state) {
          (*state)["lineage"] = lineage_.rows();
          // There are none before the first inner iteration of a generation.
          if (scores_.numel() > 0) (*state)["scores"] = scores_.clone();
        },
        [this](const TensorMap& state) { return LoadHistory(state); });
  }

  std::map<std::string, std::string> Tables() const override {
    std::string text = "update,member,parent";
    for (const Hyperparameter& x : config_.hyperparameters) absl::StrAppend(&text, ",", x.name);
    text += "\n";
    const Tensor lineage = lineage_.rows();
    const auto rows = lineage.accessor<double, 2>();
    for (int64_t i = 0; i < rows.size(0); ++i) {
      absl::StrAppendFormat(&text, "%.0f,%.0f,", rows[i][0], rows[i][1]);
      if (rows[i][2] >= 0) absl::StrAppendFormat(&text, "%.0f", rows[i][2]);
      for (int64_t j = kMemberColumns; j < rows.size(1); ++j)
        absl::StrAppendFormat(&text, ",%.9g", rows[i][j]);
      text += "\n";
    }
    return {{"lineage.csv", std::move(text)}};
  }

 private:
  absl::StatusOr<RuleReport> DoRun(Fleet* fleet, uint32_t outer_step) override {
    MENTOR_ASSIGN_OR_RETURN(const LifetimeBatch batch, fleet->Collect());
    MENTOR_ASSIGN_OR_RETURN(const Tensor scores, ScoresOf(batch));
    // [F, up to window], the newest last.
    Tensor kept = torch::cat({scores_, scores.unsqueeze(1)}, 1);
    if (kept.size(1) > window_) kept = kept.narrow(1, kept.size(1) - window_, window_);
    const Tensor score = kept.mean(1);
    const Tensor finite = score.isfinite();
    if (!finite.any().item<bool>()) {
      return absl::FailedPreconditionError(
          "no member of the population has a finite score; give smaller learning rates "
          "(rule.option learning_rate_high)");
    }
    RuleReport report;
    const bool last =
        (outer_step + 1) % context_.iterations() == 0;  // Their lives end with this iteration.
    double copies = 0;
    if ((outer_step + 1) % ready_ == 0 && !last) {
      const std::vector<uint32_t> parents = Select(score, batch.environments, outer_step);
      for (size_t i = 0; i < parents.size(); ++i) {
        if (parents[i] == i) continue;
        ++copies;
        Note(outer_step + 1, static_cast<int64_t>(i), parents[i]);
      }
      kept =
          kept.index_select(0, torch::tensor(std::vector<int64_t>(parents.begin(), parents.end())));
      MENTOR_RETURN_IF_ERROR(fleet->GoOnAs(parents));
    }
    scores_ = kept.contiguous();
    if (last) scores_ = torch::zeros({members_, 0}, torch::kFloat64);

    const Tensor good = score.masked_select(finite).contiguous();
    const std::vector<double> values(good.const_data_ptr<double>(),
                                     good.const_data_ptr<double>() + good.numel());
    report["score_best"] = *std::max_element(values.begin(), values.end());
    report["score_median"] = Median(values);
    report["score_worst"] = *std::min_element(values.begin(), values.end());
    report["copies"] = copies;
    for (size_t j = 0; j < config_.hyperparameters.size(); ++j) {
      const Tensor column = hyperparameters_.select(1, static_cast<int64_t>(j)).contiguous();
      report[config_.hyperparameters[j].name + "_median"] =
          Median({column.const_data_ptr<double>(), column.const_data_ptr<double>() + members_});
    }
    return report;
  }

  // [F]: mean shaped reward or success signal of a step in this inner iteration.
  absl::StatusOr<Tensor> ScoresOf(const LifetimeBatch& batch) const {
    const Tensor& outcomes = by_success_ ? batch.steps.success_signals : batch.steps.shaped_rewards;
    if (!outcomes.defined() || outcomes.dim() != 2 || outcomes.size(0) != members_ ||
        batch.environments.size() != static_cast<size_t>(members_)) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "the outer update's outcomes are %s of %d environments, expected %d members",
          outcomes.defined() ? c10::str(outcomes.sizes()) : "missing", batch.environments.size(),
          members_));
    }
    return outcomes.to(torch::kFloat64).mean(1);
  }

  // Each environment has its own population. Changes hyperparameters_. Returns the parent of every
  // member.
  std::vector<uint32_t> Select(const Tensor& score, const std::vector<std::string>& environments,
                               uint32_t outer_step) {
    const int64_t h = hyperparameters_.size(1);
    Tensor uniforms = torch::empty({members_, 1 + 2 * h}, torch::kFloat64);
    auto uniform = uniforms.accessor<double, 2>();
    const RandomStream stream{
        .seed = seed_, .purpose = Purpose::kPopulation, .lifetime = outer_step};
    for (int64_t i = 0; i < members_; ++i) {
      for (int64_t k = 0; k < 1 + 2 * h; ++k)
        uniform[i][k] = stream.Uniform(static_cast<uint32_t>(i), static_cast<uint32_t>(k));
    }
    std::vector<uint32_t> parents(static_cast<size_t>(members_));
    std::iota(parents.begin(), parents.end(), 0);
    for (const std::string& environment :
         std::set<std::string>(environments.begin(), environments.end())) {
      std::vector<int64_t> members;
      for (size_t i = 0; i < environments.size(); ++i) {
        if (environments[i] == environment) members.push_back(static_cast<int64_t>(i));
      }
      const Tensor places = torch::tensor(members);
      const auto of = [&](const Tensor& x) { return x.index_select(0, places); };
      const Selection selection =
          SelectAndExplore(config_, of(score), of(hyperparameters_), of(uniforms));
      for (size_t i = 0; i < members.size(); ++i) {
        parents[static_cast<size_t>(members[i])] =
            static_cast<uint32_t>(members[selection.parents[i]]);
      }
      hyperparameters_ = hyperparameters_.index_copy(0, places, selection.hyperparameters);
    }
    return parents;
  }

  // A parent of -1 means a birth.
  void Note(uint32_t outer_step, int64_t member, int64_t parent) {
    std::vector<double> row = {static_cast<double>(outer_step), static_cast<double>(member),
                               static_cast<double>(parent)};
    const Tensor own = hyperparameters_[member].contiguous();
    row.insert(row.end(), own.const_data_ptr<double>(), own.const_data_ptr<double>() + own.numel());
    lineage_.Append(row);
  }

  absl::Status LoadHistory(const TensorMap& state) {
    Tensor scores = torch::zeros({members_, 0}, torch::kFloat64);
    if (state.contains("scores")) {
      MENTOR_ASSIGN_OR_RETURN(scores, ReadScores(state.at("scores")));
    }
    MENTOR_ASSIGN_OR_RETURN(
        lineage_, Lineage::Read(state, "lineage", kMemberColumns + hyperparameters_.size(1)));
    scores_ = scores;
    return absl::OkStatus();
  }

  absl::StatusOr<Tensor> ReadScores(const Tensor& scores) const {
    if (scores.dim() != 2 || scores.scalar_type() != torch::kFloat64 ||
        scores.size(0) != members_ || scores.size(1) > window_) {
      return absl::DataLossError("the checkpoint's tensor 'scores' of the rule has another size");
    }
    return scores.clone().contiguous();
  }

  // Fixed after construction.
  const PopulationConfig config_;
  const uint64_t seed_;
  const int64_t members_, ready_, window_;
  const bool by_success_;
  // Changed by Update and Load.
  Tensor hyperparameters_;  // [F, h] float64
  Tensor scores_;           // [F, up to window] float64: in the last inner iterations
  Lineage lineage_;         // kMemberColumns + h columns: births and copies
};

MetricTable Metrics() {
  MetricTable metrics = {
      {.name = "score_best", .help = "Best score of a member.", .label = "best score"},
      {.name = "score_median", .help = "Median score of the members."},
      {.name = "score_worst", .help = "Worst finite score of a member."},
      {.name = "copies", .help = "Members that went on with the weights of another."}};
  for (const Hyperparameter& x : TunableHyperparameters()) {
    metrics.push_back({.name = x.name + "_median",
                       .help = absl::StrCat("Median ", x.name, " of the members."),
                       .log_scale = x.log_scale});
  }
  return metrics;
}

const RegisterRule kPbt({
    .name = "pbt",
    .summary = "Agents whose worst copy the best, hyperparameters included (Jaderberg et al.)",
    .inner_loop = "population",
    .options = kOptions.table(),
    .metrics = Metrics(),
    .check =
        [](const RuleContext& context, Violations* violations) {
          CheckHyperparameters(context.options, violations);
          if (context.lifetimes() < 2) {
            violations->Add("rule.lifetimes_per_update",
                            "is 1; a population has at least 2 members, one for each lifetime");
          }
        },
    .make = MadeRule<Pbt>,
});

}  // namespace pbt_rule
}  // namespace mentor::methods
