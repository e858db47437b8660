#include "methods/base/inner_loop.h"

#include <initializer_list>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "agents/differentiable_update.h"
#include "common/check.h"
#include "common/registry.h"
#include "methods/base/loop_parts.h"

namespace mentor::methods {

std::vector<uint32_t> InnerLoopContext::lifetime_numbers() const {
  std::vector<uint32_t> numbers;
  for (const v1::Lifetime& lifetime : shard->lifetimes()) numbers.push_back(lifetime.number());
  return numbers;
}

std::vector<uint32_t> InnerLoopContext::noise_numbers() const {
  std::vector<uint32_t> numbers;
  for (const v1::Lifetime& lifetime : shard->lifetimes())
    numbers.push_back(agents::NoiseNumber(lifetime));
  return numbers;
}

RandomStream InnerLoopContext::Random(Purpose purpose, int64_t agent, uint32_t iteration) const {
  return {.seed = spec().seed(),
          .purpose = purpose,
          .phase = static_cast<Phase>(shard->phase()),
          .lifetime = agents::NoiseNumber(shard->lifetimes(static_cast<int>(agent))),
          .iteration = iteration};
}

agents::MinibatchOrder InnerLoopContext::Order(uint32_t iteration) const {
  return agents::KeyedOrder(spec().seed(), static_cast<Phase>(shard->phase()), iteration,
                            noise_numbers());
}

absl::StatusOr<std::vector<torch::Tensor>> InnerLoopContext::Minibatches(
    uint32_t iteration, int64_t epochs, int64_t minibatches, int64_t first_epoch) const {
  const auto from_first = [order = Order(iteration), first_epoch](int64_t agent, int64_t epoch,
                                                                  std::span<int64_t> out) {
    order(agent, first_epoch + epoch, out);
  };
  return agents::DrawMinibatches(from_first, num_agents(), steps(), epochs, minibatches);
}

TensorMap InnerLoop::Save() {
  StateFields fields("the inner loop");
  State(&fields);
  return fields.Save(/*copies=*/false);
}

absl::Status InnerLoop::Load(const TensorMap& state) {
  PrepareLoad();
  StateFields fields("the inner loop");
  State(&fields);
  return fields.Load(state);
}

const std::vector<const InnerLoopEntry*>& InnerLoops() {
  static const auto all = Registry<InnerLoopEntry>::Instance().All();
  return all;
}

const InnerLoopEntry* FindInnerLoop(std::string_view name) {
  return Registry<InnerLoopEntry>::Instance().Find(name);
}

namespace {

// The only loop that takes this network; null when all loops do.
const InnerLoopEntry* OwnerOf(const std::string& network) {
  for (const InnerLoopEntry* entry : InnerLoops()) {
    if (!entry->network.empty() && entry->network == network) return entry;
  }
  return nullptr;
}

// Returns the shard's loop and fills its context. Null with violations when there is no such loop,
// or its options or network do not fit.
const InnerLoopEntry* ReadLoop(const v1::Shard& shard, InnerLoopContext* context,
                               Violations* violations) {
  const InnerLoopEntry* entry = FindInnerLoop(shard.inner_loop().name());
  if (entry == nullptr) {
    violations->Add("shard.inner_loop.name", Registry<InnerLoopEntry>::Instance().Unknown(
                                                 "inner loop", shard.inner_loop().name()));
    return nullptr;
  }
  context->shard = &shard;
  context->options = OptionValues::Parse(entry->options, shard.inner_loop().option(),
                                         "shard.inner_loop.option", violations);
  if (shard.reward_source() == v1::REWARD_SOURCE_SIGNAL) {
    signals::SignalContext signal = SignalContextOf(shard);
    signal.device = context->device;
    context->network = signals::MakeSignalNetwork(shard.spec().signal(), signal, violations);
    const std::string& name = shard.spec().signal().name();
    if (context->network != nullptr && entry->network != name) {
      if (!entry->network.empty()) {
        violations->Add("signal.name", absl::StrFormat("is %s; inner loop '%s' takes %s alone",
                                                       name, entry->name, entry->network));
      } else if (const InnerLoopEntry* owner = OwnerOf(name)) {
        violations->Add("signal.name",
                        absl::StrFormat("is %s, of which agents of inner loop '%s' alone can make "
                                        "a reward; take another network, or the rule of that loop",
                                        name, owner->name));
      }
    }
    if (context->network != nullptr &&
        (context->network->loss() != nullptr) != entry->learned_loss) {
      violations->Add(
          "signal.role",
          entry->learned_loss
              ? "is not LOSS, but the rule's agents descend a learned loss: set LOSS, and a "
                "network "
                "whose output is one (loss_conv)"
              : "is LOSS, and the rule's agents have no use for a learned loss: set REWARD or "
                "ADVANTAGE with another network, or take rule epg");
    }
  }
  if (shard.spec().agent().surrogate() == v1::DPO && !entry->surrogate) {
    violations->Add(
        "agent.surrogate",
        absl::StrFormat("is DPO; agents of inner loop '%s' have %s: leave it out", entry->name,
                        entry->network.empty()
                            ? "a loss of their own, without PPO's ratio"
                            : absl::StrCat("a ", entry->network, " in the surrogate's place")));
  }
  return violations->empty() ? entry : nullptr;
}

}  // namespace

signals::SignalContext SignalContextOf(const v1::Shard& shard) {
  return {.observation_size = shard.shape().observation_size(),
          .action_size = shard.shape().action_size(),
          .role = shard.spec().signal().role(),
          .input = shard.spec().signal().input(),
          .episode_steps = shard.shape().episode_steps(),
          .independent_episodes = shard.shape().independent_episodes(),
          .steps_per_iteration = shard.spec().lifetime().steps_per_iteration(),
          .discrete_actions = shard.shape().discrete_actions()};
}

std::unique_ptr<InnerLoop> MakeInnerLoop(const v1::Shard& shard, torch::Tensor meta_parameters,
                                         agents::WorkerPool* pool, const kernels::Device& device,
                                         Violations* violations) {
  Violations own;
  InnerLoopContext context;
  context.meta_parameters = std::move(meta_parameters);
  context.pool = pool;
  context.device = device;
  const InnerLoopEntry* entry = ReadLoop(shard, &context, &own);
  std::unique_ptr<InnerLoop> loop;
  if (entry != nullptr && entry->check) entry->check(context, &own);
  if (own.empty()) loop = entry->make(context);
  violations->AddAll(own);
  return own.empty() ? std::move(loop) : nullptr;
}

std::optional<LoopSizes> SizesOfLoop(const v1::Shard& shard, int64_t num_meta_parameters) {
  Violations violations;
  InnerLoopContext context;
  const InnerLoopEntry* entry = ReadLoop(shard, &context, &violations);
  if (entry == nullptr) return std::nullopt;
  return entry->sizes(context, num_meta_parameters);
}

std::vector<std::string> UnreadSettings(const v1::Shard& shard) {
  Violations violations;
  InnerLoopContext context;
  const InnerLoopEntry* entry = ReadLoop(shard, &context, &violations);
  if (entry == nullptr) return {};
  std::vector<std::string> unread;
  if (entry->unread) unread = entry->unread(context);
  const v1::AgentSpec& agent = shard.spec().agent();
  const auto add = [&](bool is_unread, std::initializer_list<const char*> names) {
    if (is_unread) unread.insert(unread.end(), names.begin(), names.end());
  };
  add(agent.optimizer() == v1::SGD, {"adam_beta1", "adam_beta2", "adam_epsilon"});
  add(agent.surrogate() == v1::DPO && !agent.clip_value_loss(), {"clip"});
  add(shard.shape().discrete_actions(), {"initial_std"});
  return unread;
}

bool GivesGradient(const v1::Shard& shard) {
  const InnerLoopEntry* entry = FindInnerLoop(shard.inner_loop().name());
  if (entry == nullptr || entry->gives_gradient == nullptr) return false;
  Violations violations;
  InnerLoopContext context;
  return ReadLoop(shard, &context, &violations) != nullptr && entry->gives_gradient(context);
}

RegisterInnerLoop::RegisterInnerLoop(InnerLoopEntry entry) {
  MENTOR_CHECK(entry.sizes != nullptr);
  Registry<InnerLoopEntry>::Instance().Add(std::move(entry));
}

}  // namespace mentor::methods
