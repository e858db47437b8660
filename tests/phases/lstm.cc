// The LSTM signal network by phases beside the CPU's kernels, as phases_test.py compiles and runs
// it:
//   lstm emulated                                   many sizes, threads one after another
//   lstm KERNEL fixed|any [NUMBER [only_cluster]]   the first cluster of a kernel (acting, forward,
//                                                   backward, product, dots, norm) with real
//                                                   threads; prints the number of its barriers; or
//                                                   leaves out that of this number, of the cluster
//                                                   alone if so said, and ends after it
//   lstm all fixed|any                              the first cluster of each kernel; a number each
// Exit status 1 when the bits differ.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/lstm_problem.h"
#include "tests/phases/threads.h"

using namespace mentor;

namespace {

template <class Kernel>
constexpr const char* kName = "";
template <class Sizes>
constexpr const char* kName<signals::LstmRunKernel<float, Sizes>> = "acting";
template <class Sizes>
constexpr const char* kName<signals::CellsForwardKernel<float, Sizes>> = "forward";
template <class Sizes>
constexpr const char* kName<signals::CellsBackwardKernel<float, Sizes>> = "backward";
template <>
constexpr const char* kName<kernels::ProductKernel<float>> = "product";
template <>
constexpr const char* kName<kernels::RowDotsKernel<float>> = "dots";
template <>
constexpr const char* kName<kernels::NormKernel<float>> = "norm";

// Barriers of the kernel's run with real threads. There is one.
template <class Kernel>
int barriers = 0;

struct Launcher {
  std::string kernel = "none";
  bool has_clusters = true;
  testing::LeftOut left_out = {};

  template <class Kernel>
  absl::Status Launch(const Kernel& k, int64_t clusters) const {
    kernels::InOrder order;
    for (int64_t cluster = 0; cluster < clusters; ++cluster) {
      if (barriers<Kernel> == 0 && *kName<Kernel> && (kernel == kName<Kernel> || kernel == "all")) {
        barriers<Kernel> = testing::RunWithThreads(k, cluster, left_out);
        std::printf("%d\n", barriers<Kernel>);
        // Later results tell nothing more about the barrier.
        if (left_out.number >= 0) std::exit(0);
      } else {
        kernels::EmulateCluster(k, cluster, &order);
      }
    }
    return absl::OkStatus();
  }
};

// Any sizes: a little more than the threads of a block, or than a tile.
bool Same(const Launcher& launcher, bool both = false) {
  kernels::LstmSizes sizes = testing::DefaultLstm();
  if (!launcher.has_clusters) {
    sizes = {
        .features = 7, .side = 4, .enc1 = 66, .enc2 = 9, .hidden = 65, .heads = 9, .critic = 11};
  }
  sizes.both = both;
  testing::LstmActing<float> acting{sizes, 1, 2};
  testing::LstmTraining<float> training({sizes, 1, 3, 1, false, 6});
  const bool all = launcher.kernel == "all";
  std::string difference;
  if (all || launcher.kernel == "acting") difference = acting.Difference(launcher);
  if (all || launcher.kernel != "acting") difference += training.Difference(launcher);
  if (!difference.empty()) std::fprintf(stderr, "differs: %s\n", difference.c_str());
  return difference.empty();
}

bool SameEmulated() {
  const Launcher fixed, any = {.has_clusters = false};
  const kernels::LstmSizes odd = testing::OddLstm(), smallest = testing::SmallestLstm();
  for (const std::string& difference :
       {testing::LstmActing<float>{odd, 3, 9}.Difference(any),
        testing::LstmActing<float>{smallest, 1, 2, false}.Difference(any),
        testing::LstmActing<float>{testing::DefaultLstm(5), 1, 3}.Difference(fixed),
        testing::LstmTraining<float>({odd, 7, 30, 3, true}).Difference(any),
        testing::LstmTraining<float>({smallest, 3, 2, 5}).Difference(any),
        testing::LstmTraining<float>({testing::DefaultLstm(5), 2, 2, 1}).Difference(fixed)}) {
    if (difference.empty()) continue;
    std::fprintf(stderr, "differs: %s\n", difference.c_str());
    return false;
  }
  return Same(fixed) && Same(any) && Same(fixed, /*both=*/true) && Same(any, /*both=*/true);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && argv[1] == std::string("emulated")) return SameEmulated() ? 0 : 1;
  if (argc < 3) return 2;
  return Same({.kernel = argv[1],
               .has_clusters = argv[2] == std::string("fixed"),
               .left_out = {argc > 3 ? std::atoi(argv[3]) : -1,
                            argc > 4 && argv[4] == std::string("only_cluster")}})
             ? 0
             : 1;
}
