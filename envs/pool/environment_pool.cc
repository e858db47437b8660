#include "envs/pool/environment_pool.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/machine_memory.h"
#include "common/status.h"
#include "common/violations.h"
#include "envs/wrapper.h"

namespace mentor::envs {
namespace {

constexpr int32_t kNobody = -1;
// How often a thread looks for work, or for results, before it sleeps: about 20 microseconds. To be
// woken takes longer than a step of a small environment.
constexpr int kLooks = 2000;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Their goals are a list, as those of the Python package.
bool IsMetaWorld(const EnvironmentEntry& entry) {
  return entry.suite.starts_with("Meta-World");
}

}  // namespace

EnvironmentPool::EnvironmentPool(Options options, const EnvironmentEntry& entry)
    : options_(std::move(options)),
      entry_(entry),
      process_(getpid()),
      lists_(options_.classes),
      slots_(options_.size),
      work_(options_.size),
      ready_(options_.size) {
  for (auto* ring : {&work_, &ready_})
    for (std::atomic<int32_t>& place : *ring) place = kNobody;
}

absl::StatusOr<std::unique_ptr<EnvironmentPool>> EnvironmentPool::Make(Options options) {
  if (options.size < 1 || options.threads < 1) {
    return absl::InvalidArgumentError("num_envs and num_threads: give integers from 1 on");
  }
  if (!options.classes.empty()) options.environment = options.classes[0].name;
  const EnvironmentEntry* entry = FindEnvironment(options.environment);
  if (entry == nullptr) return MakeEnvironment(options.environment, {}).status();
  auto pool = std::unique_ptr<EnvironmentPool>(new EnvironmentPool(std::move(options), *entry));
  MENTOR_RETURN_IF_ERROR(pool->Begin());
  return pool;
}

absl::Status EnvironmentPool::CheckMemory() const {
  auto* environment = dynamic_cast<MuJoCoEnvironment*>(&slots_[0].environment->unwrapped());
  const uint64_t machine = MachineMemoryBytes();
  if (environment == nullptr || machine == 0) return absl::OkStatus();
  const mjData* data = environment->simulation().data();
  const auto bytes = static_cast<uint64_t>(data->nbuffer) + static_cast<uint64_t>(data->narena);
  if (bytes <= machine / slots_.size()) return absl::OkStatus();
  constexpr uint64_t kMegabyte = 1 << 20;
  return absl::InvalidArgumentError(
      absl::StrCat("num_envs: ", slots_.size(), " x ", bytes / kMegabyte + 1,
                   " MB of simulator data exceed the ", machine / kMegabyte,
                   " MB that this process may use; give ", machine / bytes, " or fewer"));
}

absl::StatusOr<std::unique_ptr<Environment>> EnvironmentPool::MakeOne(size_t index) const {
  const std::vector<TaskSet>& classes = options_.classes;
  MENTOR_ASSIGN_OR_RETURN(auto environment,
                          classes.empty()
                              ? MakeEnvironment(entry_.name, options_.options, "options")
                              : MakeEnvironment(classes[index % classes.size()].tasks[0]));
  return Wrap(std::move(environment), options_.wrappers, "wrappers");
}

absl::Status EnvironmentPool::Begin() {
  for (size_t i = 0; i < slots_.size(); ++i) {
    MENTOR_ASSIGN_OR_RETURN(slots_[i].environment, MakeOne(i));
    if (i == 0) MENTOR_RETURN_IF_ERROR(CheckMemory());
  }
  Violations none;
  option_values_ = OptionValues::Parse(entry_.options, options_.options, "options", &none);
  info_ = slots_[0].environment->info();
  info_keys_ = slots_[0].environment->InfoKeys();
  const size_t n = slots_.size(), width = info_.observation_size, keys = info_keys_.size();
  observations_.resize(n * width);
  infos_.resize(n * keys);
  rewards_.resize(n);
  for (auto* flags : {&terminated_, &truncated_, &successes_}) flags->resize(n);
  if (options_.autoreset == Autoreset::kSameStep) {
    final_observations_.resize(n * width);
    final_infos_.resize(n * keys);
    final_successes_.resize(n);
  }
  actions_.resize(n * info_.action_size);
  all_.resize(n);
  for (size_t i = 0; i < n; ++i) all_[i] = static_cast<int32_t>(i);
  const int helpers = std::min(options_.threads, options_.size) - (options_.asynchronous ? 0 : 1);
  for (int i = 0; i < helpers; ++i) threads_.emplace_back([this] { Loop(); });
  return absl::OkStatus();
}

EnvironmentPool::~EnvironmentPool() {
  if (getpid() != process_) {
    // The threads stayed in the other process: there is nothing to join, so this is never freed.
    new std::vector<std::thread>(std::move(threads_));
    return;
  }
  EndThreads();
}

void EnvironmentPool::EndThreads() {
  stop_ = true;
  wake_.fetch_add(1);
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

absl::StatusOr<PoolUse> EnvironmentPool::Use() {
  MENTOR_ASSIGN_OR_RETURN(PoolUse use, PoolUse::Begin(process_, &in_use_));
  if (!closed_) return use;
  return absl::FailedPreconditionError("these environments are closed; make new ones");
}

absl::Status EnvironmentPool::Close() {
  // A forked process has no threads to end; its environments go with it.
  if (getpid() != process_) return absl::OkStatus();
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, Use());
  EndThreads();
  closed_ = true;
  slots_.clear();
  return absl::OkStatus();
}

v1::EnvironmentTask EnvironmentPool::TaskOf(int index) const {
  const Slot& slot = slots_[index];
  const TaskList* list = lists_.empty() ? nullptr : &lists_[index % lists_.size()].tasks;
  v1::EnvironmentTask task;
  if (slot.choice.parameters) {
    task.set_environment(entry_.name);
    for (const double number : *slot.choice.parameters) task.add_parameters(number);
  } else if (slot.choice.goal && list != nullptr) {
    task = (*list)[*slot.choice.goal];
  } else {
    const RandomStream random{.seed = slot.choice.goal ? options_.goal_seed : slot.stream.seed,
                              .purpose = Purpose::kTasks};
    const uint32_t number = slot.choice.goal.value_or(slot.episode);
    task = options_.classes.empty() ? DrawTask(entry_, option_values_, random, number)
                                    : (*list)[random.Below(list->size(), number, /*draw=*/0)];
    ExtendTask(options_.wrappers, random, number, &task);
  }
  if (const std::optional<bool> visible = GoalVisible()) task.set_goal_visible(*visible);
  return task;
}

std::optional<bool> EnvironmentPool::GoalVisible() const {
  if (options_.goal_visible) return options_.goal_visible;
  if (!options_.classes.empty()) return options_.classes[0].tasks[0].goal_visible();
  return IsMetaWorld(entry_) ? std::optional<bool>(true) : std::nullopt;
}

absl::Status EnvironmentPool::CheckChoice(const TaskChoice& choice) {
  if (choice.parameters && !options_.classes.empty()) {
    return absl::InvalidArgumentError(
        "options['parameters']: environments have classes of tasks here; give the number of a "
        "goal: options={'goal': 0}");
  }
  if (!choice.goal || choice.parameters || !IsMetaWorld(entry_)) return absl::OkStatus();
  if (lists_.empty()) {
    v1::BenchmarkSpec spec;
    spec.set_name("ml1");
    spec.set_environment(entry_.name);
    spec.set_goal_seed(options_.goal_seed);
    Violations violations;
    const std::unique_ptr<Benchmark> benchmark = MakeBenchmark(spec, &violations);
    MENTOR_RETURN_IF_ERROR(violations.ToStatus());
    lists_ = benchmark->Tasks(Split::kTrain);
  }
  if (*choice.goal < lists_[0].tasks.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("options['goal']: is ", *choice.goal, ", but ",
                                                 entry_.name, " has the goals 0 to ",
                                                 lists_[0].tasks.size() - 1));
}

absl::Status EnvironmentPool::BeginEpisode(int index) {
  Slot& slot = slots_[index];
  slot.begun = false;
  slot.task = TaskOf(index);
  MENTOR_RETURN_IF_ERROR(slot.environment->SetTask(slot.task));
  MENTOR_RETURN_IF_ERROR(slot.environment->Reset(
      slot.stream, slot.episode, Row(observations_, index, info_.observation_size)));
  ++slot.episode;
  slot.begun = true;
  slot.ended = false;
  return absl::OkStatus();
}

void EnvironmentPool::Clear(int index) {
  rewards_[index] = 0;
  terminated_[index] = truncated_[index] = successes_[index] = 0;
  std::ranges::fill(Row(infos_, index, info_keys_.size()), 0.0);
}

absl::Status EnvironmentPool::StepOne(int index) {
  Slot& slot = slots_[index];
  if (!slot.begun) {
    return absl::FailedPreconditionError("has no episode: call reset() first, also after an error");
  }
  if (slot.ended && options_.autoreset == Autoreset::kNextStep) {
    Clear(index);
    return BeginEpisode(index);
  }
  if (slot.ended) {
    return absl::FailedPreconditionError(
        slots_.size() == 1
            ? "its episode has ended: call reset()"
            : "its episode has ended: call reset(options={'reset_mask': ...}) for those that have");
  }
  const size_t width = info_.observation_size, keys = info_keys_.size();
  const std::span<double> observation = Row(observations_, index, width);
  const std::span<const float> action =
      std::span(actions_).subspan(index * info_.action_size, info_.action_size);
  const absl::StatusOr<StepOutcome> outcome = slot.environment->Step(action, observation);
  if (!outcome.ok()) {
    slot.begun = false;
    return outcome.status();
  }
  rewards_[index] = outcome->reward;
  terminated_[index] = outcome->terminated;
  truncated_[index] = outcome->truncated;
  successes_[index] = outcome->success;
  slot.ended = outcome->terminated || outcome->truncated;
  if (keys > 0) std::ranges::copy(slot.environment->Info(), Row(infos_, index, keys).begin());
  if (!slot.ended || options_.autoreset != Autoreset::kSameStep) return absl::OkStatus();
  std::ranges::copy(observation, Row(final_observations_, index, width).begin());
  std::ranges::copy(Row(infos_, index, keys), Row(final_infos_, index, keys).begin());
  final_successes_[index] = successes_[index];
  // The episode that begins has none yet.
  std::ranges::fill(Row(infos_, index, keys), 0.0);
  successes_[index] = 0;
  return BeginEpisode(index);
}

void EnvironmentPool::Work(int index) {
  Slot& slot = slots_[index];
  if (slot.resetting) {
    Clear(index);
    slot.status = BeginEpisode(index);
    slot.resetting = false;
  } else {
    slot.status = StepOne(index);
  }
}

bool EnvironmentPool::WorkOnOne() {
  // Acquire: the end is then seen at least as far as the thread that moved the begin saw it.
  uint64_t begin = work_begin_.load(std::memory_order_acquire);
  int32_t index = kNobody;
  do {
    if (begin >= work_end_.load(std::memory_order_acquire)) return false;
    // Read before it is taken: afterwards the ring may go round and write this place again.
    index = work_[begin % work_.size()].load(std::memory_order_relaxed);
  } while (!work_begin_.compare_exchange_weak(begin, begin + 1, std::memory_order_acq_rel));
  Work(index);
  const uint64_t end = ready_end_.fetch_add(1, std::memory_order_relaxed);
  std::atomic<int32_t>& place = ready_[end % ready_.size()];
  place.store(index, std::memory_order_release);
  place.notify_one();
  return true;
}

void EnvironmentPool::Loop() {
  while (!stop_) {
    const uint32_t woken = wake_.load(std::memory_order_acquire);
    while (WorkOnOne()) {
    }
    int looks = 0;
    while (wake_.load(std::memory_order_acquire) == woken && ++looks < kLooks) Pause();
    if (looks == kLooks && !stop_) wake_.wait(woken, std::memory_order_acquire);
  }
}

void EnvironmentPool::Publish(std::span<const int32_t> ids) {
  uint64_t end = work_end_.load(std::memory_order_relaxed);
  for (const int32_t id : ids) {
    slots_[id].at_work = true;
    work_[end++ % work_.size()].store(id, std::memory_order_relaxed);
  }
  at_work_ += static_cast<int>(ids.size());
  work_end_.store(end, std::memory_order_release);
  if (threads_.empty()) return;
  wake_.fetch_add(1, std::memory_order_release);
  wake_.notify_all();
}

int32_t EnvironmentPool::NextReady() {
  std::atomic<int32_t>& place = ready_[ready_begin_ % ready_.size()];
  int32_t index = place.load(std::memory_order_acquire);
  for (int looks = 0; index == kNobody; index = place.load(std::memory_order_acquire)) {
    // The caller's thread works while it would otherwise wait.
    if (WorkOnOne()) continue;
    if (++looks < kLooks) {
      Pause();
    } else {
      place.wait(kNobody, std::memory_order_acquire);
    }
  }
  place.store(kNobody, std::memory_order_relaxed);
  ++ready_begin_;
  --at_work_;
  slots_[index].at_work = false;
  return index;
}

absl::Status EnvironmentPool::FirstError(std::span<const int32_t> ids) const {
  int32_t first = kNobody;
  for (const int32_t id : ids) {
    if (!slots_[id].status.ok() && (first == kNobody || id < first)) first = id;
  }
  if (first == kNobody) return absl::OkStatus();
  const absl::Status& status = slots_[first].status;
  const std::string& name = slots_[first].environment->info().name;
  return WithPrefix(options_.size == 1 ? absl::StrCat(name, ": ")
                                       : absl::StrCat("environment ", first, " (", name, "): "),
                    status);
}

absl::Status EnvironmentPool::CheckIdle() const {
  if (at_work_ == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(at_work_, " environments are at work: call recv() for each send() first"));
}

absl::StatusOr<std::vector<int32_t>> EnvironmentPool::BeginResets(std::span<const uint64_t> seeds,
                                                                  std::span<const uint8_t> mask,
                                                                  const TaskChoice& choice) {
  MENTOR_RETURN_IF_ERROR(CheckIdle());
  MENTOR_RETURN_IF_ERROR(CheckChoice(choice));
  std::vector<int32_t> chosen;
  for (int i = 0; i < options_.size; ++i) {
    if (mask.empty() || mask[i] != 0) chosen.push_back(i);
  }
  for (size_t i = 0; i < seeds.size(); ++i) {
    // An environment without a seed gets its own now, for a later reset without one.
    if (!mask.empty() && mask[i] == 0 && slots_[i].seeded) continue;
    slots_[i].stream = {.seed = seeds[i], .purpose = Purpose::kEnvironmentReset};
    slots_[i].episode = 0;
    slots_[i].seeded = true;
  }
  for (const int32_t i : chosen) {
    Slot& slot = slots_[i];
    slot.choice = choice;
    slot.resetting = true;
  }
  Publish(chosen);
  return chosen;
}

absl::Status EnvironmentPool::Reset(std::span<const uint64_t> seeds, std::span<const uint8_t> mask,
                                    const TaskChoice& choice) {
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, Use());
  MENTOR_ASSIGN_OR_RETURN(const std::vector<int32_t> chosen, BeginResets(seeds, mask, choice));
  for (size_t n = 0; n < chosen.size(); ++n) NextReady();
  return FirstError(chosen);
}

absl::Status EnvironmentPool::SendReset(std::span<const uint64_t> seeds,
                                        std::span<const uint8_t> mask, const TaskChoice& choice) {
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, Use());
  return BeginResets(seeds, mask, choice).status();
}

absl::Status EnvironmentPool::CheckActions(std::span<const float> actions, size_t count) const {
  const size_t width = info_.action_size;
  if (actions.size() != count * width) {
    return absl::InvalidArgumentError(
        absl::StrCat("actions: have ", actions.size(), " numbers; give ", count, " x ", width));
  }
  for (size_t i = 0; i < actions.size(); ++i) {
    if (std::isfinite(actions[i])) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("actions[", i / width, ", ", i % width, "]: is ", actions[i],
                     "; actions must be finite: has the policy diverged?"));
  }
  return absl::OkStatus();
}

absl::Status EnvironmentPool::Step(std::span<const float> actions) {
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, Use());
  MENTOR_RETURN_IF_ERROR(CheckIdle());
  MENTOR_RETURN_IF_ERROR(CheckActions(actions, all_.size()));
  std::ranges::copy(actions, actions_.begin());
  Publish(all_);
  for (size_t n = 0; n < all_.size(); ++n) NextReady();
  return FirstError(all_);
}

absl::Status EnvironmentPool::Send(std::span<const float> actions, std::span<const int32_t> ids) {
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, Use());
  MENTOR_RETURN_IF_ERROR(CheckActions(actions, ids.size()));
  std::vector<uint8_t> seen(all_.size());
  for (const int32_t id : ids) {
    if (id < 0 || id >= options_.size) {
      return absl::InvalidArgumentError(
          absl::StrCat("env_id: ", id, " is not from 0 to ", options_.size - 1));
    }
    if (slots_[id].at_work || std::exchange(seen[id], 1) != 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("env_id: environment ", id, " is at work already; recv() it first"));
    }
  }
  const size_t width = info_.action_size;
  for (size_t i = 0; i < ids.size(); ++i)
    std::ranges::copy(actions.subspan(i * width, width), actions_.begin() + ids[i] * width);
  Publish(ids);
  return absl::OkStatus();
}

absl::Status EnvironmentPool::Recv(std::span<int32_t> ids) {
  MENTOR_ASSIGN_OR_RETURN(const PoolUse use, Use());
  if (std::cmp_greater(ids.size(), at_work_)) {
    return absl::FailedPreconditionError(absl::StrCat("recv() waits for ", ids.size(),
                                                      " environments, but ", at_work_,
                                                      " are at work: send() actions first"));
  }
  for (int32_t& id : ids) id = NextReady();
  std::ranges::sort(ids);
  return FirstError(ids);
}

}  // namespace mentor::envs
