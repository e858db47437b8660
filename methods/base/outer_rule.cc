#include "methods/base/outer_rule.h"

#include <cstdio>
#include <cstdlib>

#include <absl/strings/str_format.h>
#include <google/protobuf/text_format.h>

#include "common/check.h"
#include "common/registry.h"
#include "common/rng.h"
#include "methods/base/inner_loop.h"

namespace mentor::methods {

const std::vector<const RuleEntry*>& OuterRules() {
  static const auto all = Registry<RuleEntry>::Instance().All();
  return all;
}

RuleSizes SizesOfWeights(int64_t meta_parameters) {
  constexpr double kCopies = 24;
  return {.meta_parameters = meta_parameters,
          .bytes = kCopies * sizeof(float) * static_cast<double>(meta_parameters)};
}

namespace {

// The lifetimes of the benchmark are there already.
class OneBatch final : public Fleet {
 public:
  explicit OneBatch(const LifetimeBatch& batch) : batch_(batch) {}
  absl::StatusOr<LifetimeBatch> Collect() override { return batch_; }
  absl::StatusOr<LifetimeBatch> Collect(const RoundRequest&) override {
    return absl::FailedPreconditionError("the rule names its lifetimes; it needs a fleet");
  }
  absl::Status GoOnAs(std::vector<uint32_t>) override { return absl::OkStatus(); }

 private:
  const LifetimeBatch& batch_;
};

// Sums in order and in double, over the parts that have a gradient; undefined when none has.
torch::Tensor Sum(const std::vector<ShardGradient>& parts) {
  torch::Tensor sum;
  for (const ShardGradient& part : parts) {
    if (!part.gradient.defined()) continue;
    const torch::Tensor gradient = part.gradient.to(torch::kFloat64);
    sum = sum.defined() ? sum + gradient : gradient;
  }
  return sum;
}

}  // namespace

absl::StatusOr<torch::Tensor> SumGradients(const LifetimeBatch& batch, int64_t lifetimes,
                                           int64_t size) {
  int64_t count = 0;
  size_t missing = 0;
  for (const ShardGradient& shard : batch.shards) {
    count += shard.lifetimes;
    if (!shard.gradient.defined()) {
      ++missing;
      continue;
    }
    if (shard.gradient.sizes() != at::IntArrayRef{size}) {
      return absl::InvalidArgumentError(
          absl::StrFormat("the gradient of %d lifetimes has shape %s, expected [%d]",
                          shard.lifetimes, c10::str(shard.gradient.sizes()), size));
    }
  }
  if (count != lifetimes) {
    return absl::InvalidArgumentError(
        absl::StrFormat("the outer update has %d lifetimes, expected %d", count, lifetimes));
  }
  if (missing == batch.shards.size()) return torch::Tensor();
  if (missing > 0)
    return absl::InvalidArgumentError("some shards of the outer update have no gradient");
  torch::Tensor sum = Sum(batch.shards);
  if (!sum.isfinite().all().item<bool>())
    return absl::InvalidArgumentError("the outer gradient is not finite");
  return sum;
}

torch::Tensor ReportGradient(const std::vector<ShardGradient>& parts, RuleReport* report) {
  int64_t lifetimes = 0;
  for (const ShardGradient& part : parts) lifetimes += part.lifetimes;
  const torch::Tensor mean = Sum(parts) / static_cast<double>(lifetimes);
  const double norm = mean.norm().item<double>();
  (*report)["outer_grad_norm"] = norm;
  if (parts.size() < 2) return mean;
  // n_j |g_j - g|^2 of a part's mean g_j has the variance of one lifetime as its expectation, times
  // one for all parts but one.
  double variance = 0;
  for (const ShardGradient& part : parts) {
    const auto count = static_cast<double>(part.lifetimes);
    const torch::Tensor off = part.gradient.to(torch::kFloat64) / count - mean;
    variance += count * off.square().sum().item<double>();
  }
  variance /= static_cast<double>(parts.size() - 1) * static_cast<double>(lifetimes);
  (*report)["outer_grad_variance"] = variance;
  if (norm > 0) (*report)["outer_grad_noise"] = variance / (norm * norm);
  return mean;
}

MetricTable GradientMetrics() {
  using Panel = MetricInfo::Panel;
  return {{.name = "outer_grad_norm",
           .help = "Norm of the outer gradient, the mean over lifetimes.",
           .label = "norm of the outer gradient",
           .panel = Panel::kCompared,
           .log_scale = true},
          {.name = "outer_grad_variance",
           .help = "Trace of the covariance of the outer gradient, estimated from how its parts "
                   "differ.",
           .label = "variance of the outer gradient",
           .panel = Panel::kCompared,
           .log_scale = true},
          {.name = "outer_grad_noise",
           .help = "outer_grad_variance as a share of the squared outer_grad_norm.",
           .log_scale = true}};
}

TensorMap OuterRule::Save() {
  StateFields fields("the rule");
  State(&fields);
  return fields.Save(/*copies=*/true);
}

int64_t OuterRule::StateBytes() {
  StateFields fields("the rule");
  State(&fields);
  int64_t bytes = 0;
  for (const auto& [name, tensor] : fields.Save(/*copies=*/false))
    bytes += static_cast<int64_t>(tensor.nbytes());
  return bytes;
}

absl::Status OuterRule::Load(const TensorMap& state) {
  StateFields fields("the rule");
  State(&fields);
  return fields.Load(state);
}

absl::StatusOr<RuleReport> OuterRule::DoRun(Fleet* fleet, uint32_t outer_step) {
  MENTOR_ASSIGN_OR_RETURN(const LifetimeBatch batch, fleet->Collect());
  return DoUpdate(batch, outer_step);
}

absl::StatusOr<RuleReport> OuterRule::DoUpdate(const LifetimeBatch&, uint32_t) {
  MENTOR_CHECK(!needs().meta_learns);  // Others have a DoRun or DoUpdate of their own.
  return RuleReport();
}

absl::StatusOr<RuleReport> OuterRule::Run(Fleet* fleet, uint32_t outer_step) {
  try {
    return DoRun(fleet, outer_step);
  } catch (const c10::Error& error) {
    return absl::InternalError(error.what_without_backtrace());
  }
}

absl::StatusOr<RuleReport> OuterRule::Update(const LifetimeBatch& batch, uint32_t outer_step) {
  OneBatch fleet(batch);
  return Run(&fleet, outer_step);
}

torch::Tensor RuleContext::Initial(int64_t size, const std::function<torch::Tensor()>& draw) const {
  return draws_weights ? draw() : torch::zeros({size}, torch::kFloat32);
}

torch::Tensor RuleContext::InitialNetwork() const {
  return Initial(network->layout().size(), [&] { return network->InitialWeights(spec.seed()); });
}

torch::Tensor RuleContext::InitialAgent(const agents::AgentShape& agent) const {
  return Initial(agents::AgentLayout(agent).size(), [&] {
    const uint32_t first_lifetime = 0;
    return agents::InitialTheta(agent, spec.agent().initial_std(), spec.seed(), Phase::kTraining,
                                {&first_lifetime, 1})
        .squeeze(0);
  });
}

const InnerLoopEntry& LoopOf(const RuleEntry& entry) {
  if (const InnerLoopEntry* loop = FindInnerLoop(entry.inner_loop); loop != nullptr) return *loop;
  // A mistake of whoever adds a rule, found at the first command: no caller can go on.
  std::fprintf(
      stderr,
      "error: rule '%s': %s; add the file that registers this loop (RegisterInnerLoop), or "
      "leave .inner_loop out of RegisterRule for agents of ppo\n",
      entry.name.c_str(),
      Registry<InnerLoopEntry>::Instance().Unknown("inner loop", entry.inner_loop).c_str());
  std::_Exit(EXIT_FAILURE);
}

OptionTable AllOptions(const RuleEntry& entry) {
  OptionTable all = entry.options;
  const OptionTable& more = LoopOf(entry).options;
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

MetricTable AllMetrics(const RuleEntry& entry) {
  MetricTable all = CommonMetrics();
  for (const MetricTable* more : {&entry.metrics, &LoopOf(entry).metrics})
    all.insert(all.end(), more->begin(), more->end());
  return all;
}

MetricTable AllMetrics(std::string_view rule) {
  const RuleEntry* entry = Registry<RuleEntry>::Instance().Find(rule);
  return entry == nullptr ? CommonMetrics() : AllMetrics(*entry);
}

void AddExample(const RuleEntry& entry, v1::ExperimentSpec* spec) {
  google::protobuf::TextFormat::Parser parser;
  v1::ExperimentSpec example;
  MENTOR_CHECK(parser.ParseFromString(entry.example, &example));
  spec->MergeFrom(example);
  spec->mutable_rule()->set_name(entry.name);
}

v1::InnerLoopSpec InnerLoopOf(const v1::RuleSpec& spec) {
  const RuleEntry* rule = Registry<RuleEntry>::Instance().Find(spec.name());
  MENTOR_CHECK(rule != nullptr);
  const InnerLoopEntry& loop = LoopOf(*rule);
  v1::InnerLoopSpec inner_loop;
  inner_loop.set_name(loop.name);
  for (const v1::Option& option : spec.option()) {
    for (const OptionInfo& known : loop.options) {
      if (known.name == option.name()) *inner_loop.add_option() = option;
    }
  }
  return inner_loop;
}

std::unique_ptr<OuterRule> MakeOuterRule(RuleContext context, Violations* violations) {
  const auto& registry = Registry<RuleEntry>::Instance();
  const RuleEntry* entry = registry.Find(context.spec.rule().name());
  if (entry == nullptr) {
    violations->Add("rule.name", registry.Unknown("outer rule", context.spec.rule().name()));
    return nullptr;
  }
  Violations own;
  context.options =
      OptionValues::Parse(AllOptions(*entry), context.spec.rule().option(), "rule.option", &own);
  if (own.empty() && entry->check) entry->check(context, &own);
  std::unique_ptr<OuterRule> rule = own.empty() ? entry->make(context) : nullptr;
  if (rule != nullptr && rule->needs().inner_updates && context.outer_updates() > 0 &&
      context.iterations() == 1) {
    own.Add("lifetime.iterations",
            "is 1, so no agent is ever updated and there is nothing to learn from; give at least "
            "2, or set rule.outer_updates to 0");
  }
  violations->AddAll(own);
  return own.empty() ? std::move(rule) : nullptr;
}

}  // namespace mentor::methods
