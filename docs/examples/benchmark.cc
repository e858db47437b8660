// Benchmark cart_places: eight places for meta-training, eight others for tests. The example of
// docs/adding.md.
#include "envs/benchmark.h"

#include <memory>
#include <vector>

#include "common/check.h"

namespace mentor::envs {
namespace {

using Options = google::protobuf::RepeatedPtrField<v1::Option>;

class CartPlaces : public Benchmark {
 public:
  CartPlaces(EnvironmentInfo info, const Options& options)
      : info_(std::move(info)), train_{Places(0.1, options)}, test_{Places(0.15, options)} {}

  const EnvironmentInfo& info() const override { return info_; }
  const std::vector<TaskSet>& Tasks(Split split) const override {
    return split == Split::kTrain ? train_ : test_;
  }
  v1::EnvironmentTask Draw(Split, int, const RandomStream&, uint32_t) const override {
    MENTOR_CHECK(false && "its lists are never empty");
    return {};
  }

 private:
  // first, first + 0.1, ... on both sides of 0. A task carries the settings of its environment to
  // the actors.
  static TaskSet Places(double first, const Options& options) {
    TaskSet set{.environment = "cart", .tasks = {}};
    for (int i = 0; i < 8; ++i) {
      v1::EnvironmentTask& task = set.tasks.emplace_back();
      task.set_environment("cart");
      *task.mutable_options() = options;
      task.add_parameters((i % 2 == 0 ? 1 : -1) * (first + 0.1 * (i / 2)));
    }
    return set;
  }

  const EnvironmentInfo info_;
  const std::vector<TaskSet> train_, test_;
};

const RegisterBenchmark kRegister({
    .name = "cart_places",
    .summary = "cart with eight places for meta-training and eight others for tests.",
    .make = [](const v1::BenchmarkSpec& spec,
               Violations* violations) -> std::unique_ptr<Benchmark> {
      const auto cart = MakeEnvironment("cart", spec.option(), "option");
      if (!cart.ok()) {
        violations->Add("benchmark", std::string(cart.status().message()));
        return nullptr;
      }
      return std::make_unique<CartPlaces>((*cart)->info(), spec.option());
    },
});

}  // namespace
}  // namespace mentor::envs
