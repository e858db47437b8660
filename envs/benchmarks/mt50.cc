// Benchmark mt50: all fifty Meta-World environments, 50 goals each, shown to the agent. No test
// tasks.
#include "envs/benchmarks/metaworld_benchmark.h"

namespace mentor::envs {
namespace {

// In the order of Meta-World's list, which is also the order of the goals.
const std::vector<std::string_view>& All() {
  static const std::vector<std::string_view> list = {"assembly-v3",
                                                     "basketball-v3",
                                                     "bin-picking-v3",
                                                     "box-close-v3",
                                                     "button-press-topdown-v3",
                                                     "button-press-topdown-wall-v3",
                                                     "button-press-v3",
                                                     "button-press-wall-v3",
                                                     "coffee-button-v3",
                                                     "coffee-pull-v3",
                                                     "coffee-push-v3",
                                                     "dial-turn-v3",
                                                     "disassemble-v3",
                                                     "door-close-v3",
                                                     "door-lock-v3",
                                                     "door-open-v3",
                                                     "door-unlock-v3",
                                                     "hand-insert-v3",
                                                     "drawer-close-v3",
                                                     "drawer-open-v3",
                                                     "faucet-open-v3",
                                                     "faucet-close-v3",
                                                     "hammer-v3",
                                                     "handle-press-side-v3",
                                                     "handle-press-v3",
                                                     "handle-pull-side-v3",
                                                     "handle-pull-v3",
                                                     "lever-pull-v3",
                                                     "pick-place-wall-v3",
                                                     "pick-out-of-hole-v3",
                                                     "pick-place-v3",
                                                     "plate-slide-v3",
                                                     "plate-slide-side-v3",
                                                     "plate-slide-back-v3",
                                                     "plate-slide-back-side-v3",
                                                     "peg-insert-side-v3",
                                                     "peg-unplug-side-v3",
                                                     "soccer-v3",
                                                     "stick-push-v3",
                                                     "stick-pull-v3",
                                                     "push-v3",
                                                     "push-wall-v3",
                                                     "push-back-v3",
                                                     "reach-v3",
                                                     "reach-wall-v3",
                                                     "shelf-place-v3",
                                                     "sweep-into-v3",
                                                     "sweep-v3",
                                                     "window-open-v3",
                                                     "window-close-v3"};
  return list;
}

const RegisterBenchmark kRegister(MetaWorldEntry(
    "mt50", "Meta-World MT50: 50 environments, 50 goals each, shown; one-hot number.",
    {.train = All(), .multi_task = true, .one_hot_by_default = true}));

}  // namespace
}  // namespace mentor::envs
