// An epoch of PPO by phases beside the CPU's kernels, as phases_test.py compiles and runs it:
//   ppo emulated                          many sizes, threads one after another
//   ppo BLOCKS [NUMBER [only_cluster]]    two steps with real threads; prints the number of
//                                         barriers, and leaves out that of this number, of the
//                                         cluster alone if so said
// Exit status 1 when the bits differ.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/phases/threads.h"
#include "tests/ppo_problem.h"

using namespace mentor;

namespace {

// Few threads, each with several tiles of a product; more actions than a tile has columns.
template <int blocks>
bool SameWithThreads(const testing::LeftOut& left_out) {
  testing::PpoProblem<float> problem({9, 16, 5, true, 60, 40});
  int barriers = 0;
  problem.Epoch<agents::AnyPpoSizes, blocks, 12>({9, 16, 5, 40}, [&](const auto& kernel, int64_t) {
    barriers = testing::RunWithThreads(kernel, 0, left_out);
  });
  std::printf("%d\n", barriers);
  return problem.Difference().empty();
}

template <class Sizes, int blocks>
bool SameEmulated(const Sizes& sizes, bool critic, int steps) {
  testing::PpoProblem<float> problem(
      {sizes.inputs, sizes.hidden, sizes.actions, critic, steps, sizes.rows});
  for (int epoch = 0; epoch < 2; ++epoch) {
    problem.Epoch<Sizes, blocks, 256>(
        sizes, [](const auto& kernel, int64_t clusters) { kernels::Emulate(kernel, clusters); });
    if (problem.Difference().empty()) continue;
    std::printf("%d-%d-%d: %s\n", sizes.inputs, sizes.hidden, sizes.actions,
                problem.Difference().c_str());
    return false;
  }
  return true;
}

bool SameEmulated() {
  return SameEmulated<agents::CommonPpoSizes, 2>({}, true, 300) &&
         SameEmulated<agents::SharedPpoSizes, 1>({.inputs = 11, .actions = 3}, false, 200) &&
         SameEmulated<agents::AnyPpoSizes, 1>({11, 33, 3, 40}, true, 100) &&
         SameEmulated<agents::AnyPpoSizes, 2>({8, 64, 1, 37}, true, 100) &&
         SameEmulated<agents::AnyPpoSizes, 1>({1, 1, 1, 7}, true, 20) &&
         SameEmulated<agents::AnyPpoSizes, 1>({17, 70, 21, 33}, false, 90);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  const testing::LeftOut left_out = {argc > 2 ? std::atoi(argv[2]) : -1,
                                     argc > 3 && argv[3] == std::string("only_cluster")};
  if (what == "emulated") return SameEmulated() ? 0 : 1;
  if (what == "1") return SameWithThreads<1>(left_out) ? 0 : 1;
  if (what == "2") return SameWithThreads<2>(left_out) ? 0 : 1;
  return 2;
}
