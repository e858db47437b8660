#include "agents/numerics.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>

#include <cstdlib>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "kernels/isa.h"

namespace mentor::learner {

absl::Status FixNumerics() {
  MENTOR_RETURN_IF_ERROR(CheckIsa());
  // LibTorch and MKL read these at their first kernel. MKL knows its AVX2 branch only on Intel's
  // CPUs and takes AUTO on others: the same bits from run to run on one kind of CPU, not on all
  // kinds. COMPATIBLE, the branch that is the same everywhere, takes 2.4 times as long. STRICT
  // makes the bits independent of memory alignment. STRICT, and AVX2 in place of AVX512, cost
  // nothing measurable (30 x 128 x 512 products: 48 us in all of them).
  setenv("ATEN_CPU_CAPABILITY", "avx2", /*overwrite=*/1);
  setenv("MKL_CBWR", "AVX2,STRICT", /*overwrite=*/1);
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/1);
  const std::string capability = at::get_cpu_capability();
  if (capability != "AVX2") {
    return absl::FailedPreconditionError(
        absl::StrCat("LibTorch uses ", capability,
                     " kernels, expected AVX2: the CPU lacks AVX2 and FMA, or LibTorch ",
                     "was used before FixNumerics(); set ATEN_CPU_CAPABILITY=avx2 "
                     "MKL_CBWR=AVX2,STRICT in the environment"));
  }
  at::set_num_threads(1);
  static const bool once = [] {
    at::set_num_interop_threads(1);  // LibTorch allows this call once only.
    return true;
  }();
  static_cast<void>(once);
  at::Context& context = at::globalContext();
  context.setDeterministicAlgorithms(true, /*warn_only=*/false);
  // It would fill every new tensor with NaN; tests find reads of unwritten memory.
  context.setDeterministicFillUninitializedMemory(false);
  context.setDeterministicCuDNN(true);
  context.setBenchmarkCuDNN(false);
  context.setAllowTF32CuBLAS(false);
  context.setAllowTF32CuDNN(false);
  // Subnormal numbers are kept. Flushing them is a mode of each thread, so results would depend on
  // the thread.
  return absl::OkStatus();
}

}  // namespace mentor::learner
