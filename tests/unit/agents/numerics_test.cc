#include "agents/numerics.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <vector>

#include "agents/worker_pool.h"
#include "common/exact_math.h"
#include "tests/torch_testing.h"

namespace mentor::agents::TEST_FILE {

// Runs before main, as the first use of LibTorch, so that this binary's tests run as the processes
// do.
const absl::Status fixed = FixNumerics();

TEST_CASE("numerics: kernels for one instruction set, one thread, deterministic algorithms",
          "[unit]") {
  INFO(fixed.ToString());
  CHECK(fixed.ok());
  CHECK(at::get_cpu_capability() == "AVX2");
  CHECK(at::get_num_threads() == 1);
  CHECK(at::get_num_interop_threads() == 1);
  CHECK(at::globalContext().deterministicAlgorithms());
  CHECK_FALSE(at::globalContext().allowTF32CuBLAS());
  // Once more does no harm, and simulators inherit the environment as it was.
  setenv("MKL_NUM_THREADS", "3", /*overwrite=*/1);
  CHECK(FixNumerics().ok());
  CHECK(std::string(std::getenv("MKL_NUM_THREADS")) == "3");
  CHECK(std::getenv("MKL_CBWR") == nullptr);
  unsetenv("MKL_NUM_THREADS");
}

TEST_CASE("numerics: what takes the place of MKL's functions is what LibTorch calls", "[unit]") {
  const torch::Tensor x = ProofNormals({4000}, 1, torch::kFloat64).square() + 1e-3;
  const auto agrees = [](const torch::Tensor& got, const torch::Tensor& of, auto function) {
    for (int64_t i = 0; i < of.numel(); ++i) {
      const auto want = function(of[i].item<double>());
      if (got.scalar_type() == torch::kFloat32 ? got[i].item<float>() != static_cast<float>(want)
                                               : got[i].item<double>() != want)
        return false;
    }
    return true;
  };
  CHECK(agrees(x.sqrt(), x, [](double v) { return std::sqrt(v); }));
  CHECK(agrees(x.log(), x, [](double v) { return exact::Log(v); }));
  CHECK(agrees(x.atan(), x, [](double v) { return exact::Atan(v); }));
  CHECK(agrees(x.log2(), x, [](double v) { return std::log2(v); }));
  CHECK(agrees(x.log10(), x, [](double v) { return std::log10(v); }));
  const torch::Tensor single = x.to(torch::kFloat32);
  CHECK(agrees(single.sqrt(), single, [](double v) { return std::sqrt(v); }));
  CHECK(agrees(single.atan(), single, [](double v) { return exact::Atan(v); }));
  const torch::Tensor unit = x.sin();
  CHECK(agrees(unit.asin(), unit, [](double v) { return std::asin(v); }));
  CHECK(agrees(unit.acos(), unit, [](double v) { return std::acos(v); }));
}

TEST_CASE("numerics: the results of this processor are those of the one arithmetic", "[unit]") {
  std::vector<torch::Tensor> results = ArithmeticResults();
  CHECK(ArithmeticHash(results) == kArithmetic);
  // The last bit of any result counts, of either precision.
  for (const size_t i : {size_t{0}, results.size() / 2, results.size() - 1}) {
    const torch::Tensor whole = results[i];
    results[i] = whole.clone(at::MemoryFormat::Contiguous);
    *static_cast<unsigned char*>(results[i].mutable_data_ptr()) ^= 1;
    CHECK(ArithmeticHash(results) != kArithmetic);
    results[i] = whole;
  }
  CHECK(ArithmeticHash(results) == kArithmetic);
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

}  // namespace mentor::agents::TEST_FILE
