#include "kernels/device_monitor.h"

#include <atomic>
#include <cstdlib>
#include <new>
#include <span>
#include <thread>

#include <malloc.h>

#include "agents/agent_trainer.h"
#include "agents/ppo.h"
#include "common/failpoint.h"
#include "common/mutex.h"
#include "common/status.h"
#include "kernels/device_work.h"
#include "signals/signal_network.h"
#include "tests/metric_value.h"
#include "tests/normals.h"
#include "tests/text.h"
#include "tests/torch_testing.h"

// Aligned memory is an emulated device's (DeviceArray), which is counted here.
namespace {
std::atomic<int64_t> aligned_now = 0, aligned_most = 0;
}  // namespace

void* operator new(size_t size, std::align_val_t alignment) {
  const auto step = static_cast<size_t>(alignment);
  void* const memory = std::aligned_alloc(step, (size + step - 1) / step * step);
  if (memory == nullptr) throw std::bad_alloc();
  aligned_now += static_cast<int64_t>(malloc_usable_size(memory));
  if (aligned_now > aligned_most) aligned_most = aligned_now.load();
  return memory;
}
void operator delete(void* memory, std::align_val_t) noexcept {
  aligned_now -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}
void operator delete(void* memory, size_t, std::align_val_t alignment) noexcept {
  operator delete(memory, alignment);
}

namespace mentor::kernels {
namespace {

using testing::Contains;
using testing::MetricValue;

// Callbacks that hear of a failed device.
class Listener {
 public:
  std::function<void(const absl::Status&)> Ear(const std::string& name) {
    return [this, name](const absl::Status& why) {
      const MutexLock lock(mutex_);
      heard_.push_back(name + ": " + std::string(why.message()));
      changed_.NotifyAll();
    };
  }
  std::vector<std::string> WaitFor(size_t count) {
    MutexLock lock(mutex_);
    REQUIRE(changed_.WaitFor(
        lock, std::chrono::seconds(20),
        [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return heard_.size() >= count; }));
    return heard_;
  }
  std::vector<std::string> heard() {
    const MutexLock lock(mutex_);
    return heard_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<std::string> heard_ ABSL_GUARDED_BY(mutex_);
};

Device Emulated(const DeviceMonitor::Options& options) {
  return {.kind = DeviceKind::kEmulated,
          .name = "emulated",
          .monitor = std::make_shared<DeviceMonitor>(options)};
}

class Failpoints {
 public:
  explicit Failpoints(const std::string& text) { REQUIRE(failpoint::Arm(text).ok()); }
  ~Failpoints() { failpoint::Arm("").IgnoreError(); }
};

torch::Tensor Normals(torch::IntArrayRef shape, uint32_t step) {
  return testing::Normals({.seed = 3}, step, shape);
}

// An update of `agents` agents of a size that no kernel is compiled for.
struct Update {
  agents::AgentShape shape = {.observation_size = 9, .action_size = 3, .hidden_units = 24};
  agents::PpoConfig config = {};
  std::vector<uint32_t> lifetimes = {};
  agents::AgentBatch agents = {};
  agents::Segment segment = {};

  Update(uint32_t count, int64_t steps, bool critic) {
    shape.critic = critic;
    config.epochs = 2;
    config.minibatches = 3;
    for (uint32_t i = 0; i < count; ++i) lifetimes.push_back(i);
    const int64_t n = count;
    agents =
        agents::NewAgents(agents::InitialTheta(shape, 1, /*seed=*/3, Phase::kTraining, lifetimes));
    segment.observations = Normals({n, steps, shape.observation_size}, 0);
    segment.actions = Normals({n, steps, shape.action_size}, 1);
    segment.log_probs = torch::full({n, steps}, -3.0F);
    segment.prev_done = torch::zeros({n, steps});
    segment.last_done = torch::zeros({n});
    segment.next_observations = Normals({n, shape.observation_size}, 2);
    segment.shaped_rewards = Normals({n, steps}, 4);
  }
  absl::StatusOr<agents::UpdateResult> Run(const Device& device) const {
    return agents::PpoUpdate(shape, agents, segment, segment.shaped_rewards, config,
                             agents::KeyedOrder(3, Phase::kTraining, 0, lifetimes),
                             {.device = device});
  }
  int64_t Bytes() const {
    return *PpoDeviceBytes(shape, config, static_cast<int64_t>(lifetimes.size()),
                           segment.shaped_rewards.size(1));
  }
};

// The most memory of an emulated device that f() has at once.
template <class F>
int64_t MostTaken(const F& f) {
  const int64_t before = aligned_now;
  aligned_most = before;
  f();
  return aligned_most - before;
}

}  // namespace

TEST_CASE("device monitor: memory is lent out up to the limit, and comes back", "[unit]") {
  DeviceMonitor monitor({.name = "a GPU", .memory_bytes = 1'000'000'000});
  {
    const auto first = monitor.Take(600'000'000, "an update", "take less");
    REQUIRE(first.ok());
    const auto second = monitor.Take(500'000'000, "an update", "take less");
    CHECK(absl::IsResourceExhausted(second.status()));
    CHECK(second.status().message() ==
          "a GPU: an update needs 0.500 GB of its memory, 0.400 GB of 1.000 GB are free: take "
          "less (nvidia-smi shows who uses a GPU; --device_memory_gb says how much this process "
          "may)");
    CHECK(ReasonOf(second.status()) == "DEVICE_FULL");
    CHECK(monitor.AwaitRoom(500'000'000, std::chrono::milliseconds(1)));
    CHECK_FALSE(monitor.AwaitRoom(1'000'000'001, std::chrono::hours(1)));
    CHECK(monitor.Take(400'000'000, "an update", "take less").ok());
  }
  CHECK(monitor.Take(1'000'000'000, "an update", "take less").ok());
  // Without a limit there is always room.
  DeviceMonitor unlimited({});
  CHECK(unlimited.Take(uint64_t{1} << 60, "an update", "").ok());
}

TEST_CASE("device monitor: a device that does not answer in time is lost", "[unit]") {
  Listener listener;
  DeviceMonitor monitor({.name = "a GPU",
                         .deadline = std::chrono::milliseconds(1000),
                         .on_lost = listener.Ear("program")});
  // Many short waits are none.
  for (int i = 0; i < 1000; ++i) const DeviceMonitor::Waiting waiting(&monitor);
  CHECK(listener.heard().empty());
  const DeviceMonitor::Waiting waiting(&monitor);
  CHECK(listener.WaitFor(1)[0] == "program: a GPU has not answered for 1 s");
}

TEST_CASE("device monitor: a loss is told once, to the program last", "[unit]") {
  Listener listener;
  DeviceMonitor monitor({.on_lost = listener.Ear("program")});
  const DeviceMonitor::Handle learner = monitor.OnLost(listener.Ear("learner"));
  { const DeviceMonitor::Handle gone = monitor.OnLost(listener.Ear("gone")); }
  monitor.Lost(absl::InternalError("Xid 79"));
  monitor.Lost(absl::InternalError("again"));
  CHECK(listener.heard() == std::vector<std::string>{"learner: Xid 79", "program: Xid 79"});
}

TEST_CASE("device work: an error that stays with the device loses it, others do not", "[unit]") {
  Listener listener;
  const Update update(2, 30, /*critic=*/true);
  const Device device = Emulated({.on_lost = listener.Ear("program")});
  Update wrong = update;
  wrong.segment.actions = torch::zeros({2, 30, 5});
  CHECK(absl::IsInvalidArgument(wrong.Run(device).status()));
  CHECK(listener.heard().empty());
  // Values, values behind the segment, two epochs.
  for (int launch = 1; launch <= 4; ++launch) {
    INFO("launch " << launch);
    Listener told;
    const Device fresh = Emulated({.on_lost = told.Ear("program")});
    const Failpoints failpoints("device.launch=" + std::to_string(launch) + ":error(Xid 79)");
    CHECK(absl::IsInternal(update.Run(fresh).status()));
    REQUIRE(told.heard().size() == 1);
    CHECK(Contains(told.heard()[0], "emulated has failed: launch of a kernel: Xid 79"));
  }
  const Failpoints failpoints("device.launch=5:error(Xid 79)");
  CHECK(update.Run(device).ok());
  CHECK(listener.heard().empty());
}

TEST_CASE("device work: a device that hangs is lost", "[unit]") {
  Listener listener;
  const Device device = Emulated({.name = "emulated",
                                  .deadline = std::chrono::milliseconds(20),
                                  .on_lost = listener.Ear("program")});
  const Failpoints failpoints("device.wait=2:sleep(300)");
  static_cast<void>(Update(1, 30, true).Run(device));
  CHECK(Contains(listener.WaitFor(1)[0], "emulated has not answered for 0.02 s"));
}

// A GPU whose calls end only when it is given up.
class StuckStream : public GpuStream {
 public:
  explicit StuckStream(Listener* listener) : listener_(*listener) {}
  CUstream_st* native() const override { return nullptr; }
  absl::StatusOr<void*> Allocate(size_t) override {
    if (!hangs) return &number_;
    return GiveUp();
  }
  void Free(void*) override {
    if (hangs) GiveUp().IgnoreError();
  }
  absl::Status Zero(void*, size_t) override { return GiveUp(); }
  absl::Status Copy(void*, const void*, size_t) override { return GiveUp(); }
  absl::Status ToGpu(void*, const void*, size_t) override { return GiveUp(); }
  absl::Status ToHost(void*, const void*, size_t) override { return GiveUp(); }
  absl::Status BeginSpan() override { return GiveUp(); }
  absl::Status EndSpan() override { return GiveUp(); }
  absl::StatusOr<double> Wait() override { return GiveUp(); }

  bool hangs = true;

 private:
  absl::Status GiveUp() {
    listener_.WaitFor(1);
    return absl::InternalError("lost");
  }
  Listener& listener_;
  float number_ = 0;
};

TEST_CASE("device work: every call of a GPU that does not answer is watched", "[unit]") {
  using Call = std::function<void(DeviceWork&, StuckStream&)>;
  const auto memory = [](DeviceWork& work, StuckStream& stream) {
    stream.hangs = false;
    auto array = work.Allocate<float>(1);
    REQUIRE(array.ok());
    stream.hangs = true;
    return *std::move(array);
  };
  const std::vector<std::pair<std::string, Call>> calls = {
      {"allocate", [](auto& work, auto&) { CHECK_FALSE(work.template Allocate<float>(1).ok()); }},
      {"zero",
       [&](auto& work, auto& stream) { CHECK_FALSE(work.Zero(memory(work, stream)).ok()); }},
      {"copy",
       [](auto& work, auto& stream) {
         const float number = 0;
         stream.hangs = false;
         CHECK_FALSE(work.Copy(&number, 1).ok());
       }},
      {"free", [&](auto& work, auto& stream) { memory(work, stream); }},
      {"send",
       [](auto& work, auto& stream) {
         const float number = 0;
         stream.hangs = false;
         CHECK_FALSE(work.ToDevice(std::span(&number, 1)).ok());
       }},
      {"run",
       [](auto& work, auto&) { CHECK_FALSE(work.Run([] { return absl::OkStatus(); }).ok()); }},
      {"wait", [](auto& work, auto&) { CHECK_FALSE(work.Wait().ok()); }}};
  for (const auto& [name, call] : calls) {
    INFO(name);
    Listener listener;
    const auto stream = std::make_shared<StuckStream>(&listener);
    DeviceWork work({.kind = DeviceKind::kCuda,
                     .name = "a GPU",
                     .monitor = std::make_shared<DeviceMonitor>(
                         DeviceMonitor::Options{.name = "a GPU",
                                                .deadline = std::chrono::milliseconds(20),
                                                .on_lost = listener.Ear("program")})},
                    DevicePhase::kPpo, stream);
    call(work, *stream);
    CHECK(listener.heard().size() == 1);
  }
}

TEST_CASE("device work: an outer update waits for memory that another one has", "[unit]") {
  v1::SignalSpec spec;
  spec.set_name("lstm");
  const torch::Tensor numbers = Normals({1, 20}, 1), advantages = numbers.to(torch::kFloat64);
  const signals::PieceTrainerSetup setup = {
      .loss = {}, .adam = {}, .group_lifetimes = 1, .piece_steps = 20, .pieces = 1};
  Device device = Emulated({});
  torch::Tensor weights;
  const auto network = [&] {
    Violations violations;
    auto made = signals::MakeSignalNetwork(
        spec, {.observation_size = 7, .action_size = 2, .device = device}, &violations);
    REQUIRE(made != nullptr);
    weights = made->InitialWeights(0);
    return made;
  };
  const auto bytes = static_cast<uint64_t>(network()->density()->TrainerDeviceBytes(setup, 1, 20));
  const auto trainer = [&](const signals::SignalNetwork& of) {
    const torch::Tensor features = Normals({1, 20, 64}, 0);
    return of.density()->NewTrainer(setup,
                                    {.features = features,
                                     .cut_features = {},
                                     .signals = numbers,
                                     .log_probs = numbers,
                                     .advantages = advantages,
                                     .returns = advantages},
                                    weights, torch::zeros_like(weights),
                                    torch::zeros_like(weights));
  };
  device = Emulated({.memory_bytes = bytes - 1});
  CHECK(ReasonOf(trainer(*network()).status()) == "DEVICE_FULL");  // It never fits.
  device = Emulated({.memory_bytes = bytes});
  const auto small = network();
  auto first = trainer(*small);
  REQUIRE(first.ok());
  {
    const std::atomic<bool> interrupt = true;
    const agents::CallerScope caller(&interrupt);
    CHECK(absl::IsCancelled(trainer(*small).status()));
  }
  absl::Status second = absl::UnknownError("");
  std::thread waiting([&] { second = trainer(*small).status(); });
  first->reset();
  waiting.join();
  CHECK(second.ok());
}

TEST_CASE("device work: a full device is no lost one, whatever finds it", "[unit]") {
  Listener listener;
  const Device device = Emulated({.on_lost = listener.Ear("program")});
  const Failpoints failpoints("device.allocate=*:error(an array)");
  const absl::Status update = Update(1, 30, true).Run(device).status();
  CHECK(ReasonOf(update) == "DEVICE_FULL");
  CHECK(Contains(update, "PPO update: the memory of the GPU is full (an array): nvidia-smi shows"));
  CHECK(ReasonOf(TorchError(c10::OutOfMemoryError({__func__, __FILE__, __LINE__}, "full"))) ==
        "DEVICE_FULL");
  CHECK(absl::IsInternal(TorchError(c10::Error({__func__, __FILE__, __LINE__}, "wrong"))));
  CHECK(listener.heard().empty());
}

TEST_CASE("device work: time, transfers and memory are counted", "[unit]") {
  const auto metrics = Metrics::Create();
  const Update update(2, 30, /*critic=*/true);
  const auto memory = static_cast<uint64_t>(update.Bytes());
  const Device device = Emulated({.memory_bytes = memory});
  device.monitor->Expose(metrics.get());
  REQUIRE(update.Run(device).ok());
  CHECK(MetricValue(*metrics, "mentor_device_seconds_total{phase=\"ppo\"}") > 0);
  CHECK(MetricValue(*metrics, "mentor_device_seconds_total{phase=\"signal\"}") == 0);
  CHECK(
      MetricValue(*metrics, "mentor_device_transferred_bytes_total{direction=\"to_device\"}") >=
      static_cast<double>(3 * update.agents.theta.nbytes() + update.segment.observations.nbytes()));
  CHECK(MetricValue(*metrics, "mentor_device_transferred_bytes_total{direction=\"to_host\"}") >=
        static_cast<double>(3 * update.agents.theta.nbytes()));
  CHECK(MetricValue(*metrics, "mentor_device_memory_bytes{kind=\"used\"}") == 0);
  CHECK(MetricValue(*metrics, "mentor_device_memory_bytes{kind=\"total\"}") ==
        static_cast<double>(memory));
  // One byte less is too little.
  const auto refused = update.Run(Emulated({.memory_bytes = memory - 1}));
  CHECK(absl::IsResourceExhausted(refused.status()));
  CHECK(Contains(refused.status(), "make rule.shard_lifetimes"));
}

TEST_CASE("device work: an update that nobody wants any more ends between two epochs", "[unit]") {
  Update update(2, 30, /*critic=*/true);
  update.config.epochs = 50;
  const agents::MinibatchOrder keyed = agents::KeyedOrder(3, Phase::kTraining, 0, update.lifetimes);
  std::atomic<bool> cancel = false;
  int64_t last = 0;
  const agents::MinibatchOrder order = [&](int64_t agent, int64_t epoch, std::span<int64_t> rows) {
    keyed(agent, epoch, rows);
    last = epoch;
    if (epoch == 3) cancel = true;
  };
  const agents::CallerScope caller(&cancel);
  const auto result =
      agents::PpoUpdate(update.shape, update.agents, update.segment, update.segment.shaped_rewards,
                        update.config, order, {.device = Emulated({})});
  CHECK(absl::IsCancelled(result.status()));
  CHECK(last == 3);
}

TEST_CASE("device memory: what an update takes is reckoned, and not far from it", "[unit]") {
  for (const bool critic : {true, false}) {
    for (const auto& [agents, steps] : {std::pair<uint32_t, int64_t>{1, 42}, {3, 300}, {30, 600}}) {
      const Update update(agents, steps, critic);
      const Device device = Emulated({});
      const int64_t taken = MostTaken([&] { CHECK(update.Run(device).ok()); });
      INFO(agents << " agents, " << steps << " steps, critic " << critic << ": " << taken
                  << " taken, " << update.Bytes() << " reckoned");
      CHECK(update.Bytes() >= taken);
      CHECK(update.Bytes() < taken + taken / 2);
    }
  }
}

TEST_CASE("device memory: sizes beyond the kernels' counting are the CPU's", "[unit]") {
  const agents::PpoConfig config;
  agents::AgentShape shape{.observation_size = 39, .action_size = 4, .hidden_units = 4096};
  CHECK(agents::PpoDeviceBytes(shape, config, 65536, 100'000).has_value());
  CHECK_FALSE(agents::PpoDeviceBytes(shape, {.minibatches = 1}, 1, 1'000'000).has_value());
  CHECK_FALSE(agents::PpoDeviceBytes(shape, config, 1, 5).has_value());
}

TEST_CASE("device memory: what the LSTM takes is reckoned, and not far from it", "[unit]") {
  v1::SignalSpec spec;
  spec.set_name(GENERATE("lstm", "lstm_both"));
  const Device device = Emulated({});
  Violations violations;
  const auto network = signals::MakeSignalNetwork(
      spec, {.observation_size = 7, .action_size = 2, .device = device}, &violations);
  REQUIRE(network != nullptr);
  const torch::Tensor weights = network->InitialWeights(0);
  for (const auto& [lifetimes, steps] : {std::pair<int64_t, int64_t>{1, 20}, {4, 500}}) {
    agents::Segment segment;
    segment.observations = Normals({lifetimes, steps, 7}, 0);
    segment.actions = Normals({lifetimes, steps, 2}, 1);
    segment.log_probs = torch::full({lifetimes, steps}, -2.0F);
    segment.shaped_rewards = segment.success_signals = torch::zeros({lifetimes, steps});
    segment.prev_done = torch::zeros({lifetimes, steps});
    signals::SignalState state = network->signals()->InitialState(lifetimes, torch::kFloat32);
    const torch::Tensor noise = Normals({lifetimes, steps}, 2);
    signals::SignalOutputs outputs;
    const int64_t taken =
        MostTaken([&] { outputs = network->signals()->Run(weights, segment, noise, &state); });
    INFO(lifetimes << " lifetimes, " << steps << " steps: " << taken << " taken, "
                   << network->signals()->RunDeviceBytes(lifetimes, steps) << " reckoned");
    CHECK(network->signals()->RunDeviceBytes(lifetimes, steps) >= taken);
    CHECK(network->signals()->RunDeviceBytes(lifetimes, steps) <= 1.5 * static_cast<double>(taken));

    const signals::PieceTrainerSetup setup = {
        .loss = {}, .adam = {}, .group_lifetimes = 2, .piece_steps = steps, .pieces = 1};
    const torch::Tensor features =
        network->density()->Features(segment, torch::zeros({lifetimes, steps})).contiguous();
    const torch::Tensor advantages = Normals({lifetimes, steps}, 5).to(torch::kFloat64);
    const signals::PieceTrainerBatch batch{.features = features,
                                           .cut_features = features,
                                           .signals = outputs.signals,
                                           .log_probs = outputs.log_probs,
                                           .advantages = advantages,
                                           .returns = advantages};
    const torch::Tensor m = torch::zeros_like(weights), v = torch::zeros_like(weights);
    const int64_t of_trainer = MostTaken([&, steps = steps] {
      auto trainer = network->density()->NewTrainer(setup, batch, weights, m, v);
      REQUIRE(trainer.ok());
      CHECK((*trainer)->BeginEpoch().ok());
      CHECK((*trainer)->Train(0, steps).ok());
      CHECK((*trainer)->Step(1).ok());
      CHECK((*trainer)->EndEpoch().ok());
    });
    const int64_t reckoned = network->density()->TrainerDeviceBytes(setup, lifetimes, steps);
    INFO(of_trainer << " taken, " << reckoned << " reckoned");
    CHECK(reckoned >= of_trainer);
    CHECK(static_cast<double>(reckoned) <= 1.5 * static_cast<double>(of_trainer));
  }
}

}  // namespace mentor::kernels
