#include "agents/numerics.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include "agents/worker_pool.h"
#include "tests/torch_testing.h"

namespace mentor::learner {
namespace {

// Runs before main, as the first use of LibTorch, so that this binary's tests run as the processes
// do.
const absl::Status fixed = FixNumerics();

TEST_CASE("numerics: kernels for one instruction set, one thread, deterministic algorithms",
          "[unit]") {
  INFO(fixed.ToString());
  CHECK(fixed.ok());
  CHECK(at::get_cpu_capability() == "AVX2");
  CHECK(std::string(std::getenv("MKL_CBWR")) == "AVX2,STRICT");
  CHECK(at::get_num_threads() == 1);
  CHECK(at::get_num_interop_threads() == 1);
  CHECK(at::globalContext().deterministicAlgorithms());
  CHECK_FALSE(at::globalContext().allowTF32CuBLAS());
  CHECK(FixNumerics().ok());  // Once more does no harm.
}

TEST_CASE("numerics: a pool's tasks run with one thread each and without gradients", "[unit]") {
  CHECK(at::GradMode::is_enabled());
  WorkerPool pool(2);
  std::vector<int> threads(8), gradients(8);
  const absl::Status status = pool.ParallelFor(8, [&](int64_t i) {
    threads[i] = at::get_num_threads();
    gradients[i] = at::GradMode::is_enabled();
    at::GradMode::set_enabled(true);  // Does not reach the next task.
    return absl::OkStatus();
  });
  CHECK(status.ok());
  CHECK(threads == std::vector<int>(8, 1));
  CHECK(gradients == std::vector<int>(8, 0));
  // An exception of LibTorch becomes an error without its backtrace.
  const absl::Status thrown = pool.ParallelFor(1, [](int64_t) {
    torch::ones({2, 3}).mm(torch::ones({2, 3}));
    return absl::OkStatus();
  });
  CHECK(thrown.code() == absl::StatusCode::kInternal);
  CHECK(std::string(thrown.message()).find("mat1 and mat2") != std::string::npos);
  CHECK(std::string(thrown.message()).find(".so") == std::string::npos);
}

}  // namespace
}  // namespace mentor::learner
