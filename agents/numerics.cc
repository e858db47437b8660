#include "agents/numerics.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <c10/core/GradMode.h>

#include <cstdlib>
#include <utility>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>
#include <dlfcn.h>

#include "common/check.h"
#include "common/hash.h"
#include "common/rng.h"
#include "kernels/isa.h"

extern char** environ;

namespace mentor::agents {
namespace {

using torch::Tensor;

constexpr char kLibTorch[] = "libtorch_cpu.so";
constexpr char kInstall[] = "install Mentor again, with the LibTorch of its release";
constexpr size_t kDigits = sizeof(kArithmetic) - 1;
// MKL_CBWR_AVX2 | MKL_CBWR_STRICT, and the question for all bits of the setting (mkl_types.h).
constexpr int kAvx2Strict = 10 | 0x10000, kAllBits = -1;

// Functions of LibTorch's MKL that choose its code, and some that compute. Another library that
// gives one of them decides bits.
constexpr char kOfLibTorch[] =
    "mkl_serv_cbwr_get mkl_serv_cbwr_get_nolock mkl_serv_cbwr_set mkl_serv_cpu_detect "
    "mkl_serv_vml_cpu_detect mkl_vml_serv_cpu_detect mkl_serv_get_cpu_type "
    "mkl_serv_intel_cpu mkl_serv_cpuiszen mkl_serv_cpuhasnhm mkl_serv_cpuhaspnr "
    "mkl_serv_cpuisskl mkl_serv_cpuisclx mkl_serv_cpuisicx mkl_serv_cpuisknm "
    "mkl_serv_cpuiscpx mkl_serv_cpuisbulldozer mkl_serv_getenv sgemm_ dgemm_ sgemv_ dgemv_ "
    "sdot_ ddot_ cblas_sgemm_batch cblas_dgemm_batch saxpy_ daxpy_ vmsExp vmdExp vmsLn "
    "vmsTanh vmdTanh vmsErf vmdErf vmsSin vmdSin vmsCos vmdCos";
// Functions that the programs define in place of MKL's (agents/mkl.cc).
constexpr char kOfProgram[] =
    "mkl_serv_intel_cpu_true vmsSqrt vmdSqrt vmsAtan vmdAtan vmdLn vmsLog2 vmdLog2 vmsLog10 "
    "vmdLog10 vmsAsin vmdAsin vmsAcos vmdAcos vmsTan";

absl::Status OtherArithmetic(const std::string& what, const std::string& remedy) {
  return absl::FailedPreconditionError(
      absl::StrCat("this process would compute other bits than Mentor's: ", what, "; ", remedy));
}

// LibTorch and MKL read variables at their first kernel. While this lives, there are those that fix
// the code, and none that chooses other code. Afterwards the environment is as it was: simulators
// inherit it, and compute in every program as in mentor-actor. STRICT makes the bits independent of
// memory alignment. AVX2 in place of AVX-512 costs nothing measurable.
class FixedEnvironment {
 public:
  FixedEnvironment() {
    for (char** variable = environ; *variable != nullptr; ++variable) {
      const std::pair<std::string, std::string> one =
          absl::StrSplit(*variable, absl::MaxSplits('=', 1));
      if (absl::StartsWith(one.first, "MKL_") || absl::StartsWith(one.first, "ATEN_"))
        before_.push_back(one);
    }
    for (const auto& [name, value] : before_) unsetenv(name.c_str());
    setenv("ATEN_CPU_CAPABILITY", "avx2", /*overwrite=*/1);
    setenv("MKL_CBWR", "AVX2,STRICT", /*overwrite=*/1);
  }
  ~FixedEnvironment() {
    unsetenv("ATEN_CPU_CAPABILITY");
    unsetenv("MKL_CBWR");
    for (const auto& [name, value] : before_) setenv(name.c_str(), value.c_str(), /*overwrite=*/1);
  }
  FixedEnvironment(const FixedEnvironment&) = delete;
  FixedEnvironment& operator=(const FixedEnvironment&) = delete;

 private:
  std::vector<std::pair<std::string, std::string>> before_;
};

absl::Status CheckCapability() {
  const std::string capability = at::get_cpu_capability();
  if (capability == "AVX2") return absl::OkStatus();
  return OtherArithmetic(
      absl::StrCat("LibTorch uses ", capability, " kernels, expected AVX2"),
      "the processor lacks AVX2 or FMA, or LibTorch was used before FixNumerics()");
}

std::string LibraryOf(const void* address) {
  Dl_info info = {};
  return dladdr(address, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "a library";
}

std::vector<std::string> Names(const char* names) {
  return absl::StrSplit(names, ' ');
}

// LibTorch must call the program's functions, and otherwise its own.
absl::Status CheckLibraries() {
  void* const torch = dlopen(kLibTorch, RTLD_LAZY | RTLD_NOLOAD);
  if (torch == nullptr) return OtherArithmetic(absl::StrCat(kLibTorch, " is not loaded"), kInstall);
  const auto its = [torch](const std::string& name) { return dlsym(torch, name.c_str()); };
  const auto used = [](const std::string& name) { return dlsym(RTLD_DEFAULT, name.c_str()); };
  for (const std::string& name : Names(kOfLibTorch)) {
    if (its(name) == nullptr)
      return OtherArithmetic(absl::StrCat(kLibTorch, " has no ", name, " of MKL"), kInstall);
    if (used(name) == its(name)) continue;
    return OtherArithmetic(
        absl::StrCat(LibraryOf(used(name)), " gives ", name, " in place of LibTorch"),
        "start it without that library: see LD_PRELOAD");
  }
  for (const std::string& name : Names(kOfProgram)) {
    if (its(name) != nullptr && used(name) != its(name)) continue;
    return OtherArithmetic(absl::StrCat("LibTorch does not call ", name, " of the program"),
                           "build Mentor again: its programs must export what agents/mkl.cc has");
  }
  return absl::OkStatus();
}

absl::Status CheckBranch() {
  const auto get = reinterpret_cast<int (*)(int)>(dlsym(RTLD_DEFAULT, "mkl_serv_cbwr_get"));
  const int branch = get(kAllBits);
  if (branch == kAvx2Strict) return absl::OkStatus();
  return OtherArithmetic(
      absl::StrFormat("MKL takes branch %#x, expected %#x (AVX2,STRICT)", branch, kAvx2Strict),
      absl::StrCat("the processor lacks AVX2, or LibTorch's MKL ignores MKL_CBWR: ", kInstall));
}

absl::Status CheckResults() {
  const std::string hash = ArithmeticHash(ArithmeticResults());
  if (hash == kArithmetic) return absl::OkStatus();
  const char* const preloaded = std::getenv("LD_PRELOAD");
  return OtherArithmetic(
      absl::StrCat("the fingerprint of its arithmetic is ", hash, ", expected ", kArithmetic),
      preloaded != nullptr
          ? absl::StrCat("start it without LD_PRELOAD=", preloaded)
          : absl::StrCat(kInstall, "; if that does not help, the machine computes wrongly"));
}

// Shapes of the inner PPO and of the networks: small and larger products choose different code.
void AddProducts(torch::Dtype dtype, std::vector<Tensor>* results) {
  const Tensor a = ProofNormals({125, 39}, 0, dtype), b = ProofNormals({39, 64}, 1, dtype),
               c = ProofNormals({30, 128}, 2, dtype), d = ProofNormals({128, 512}, 3, dtype),
               v = ProofNormals({39}, 4, dtype), w = ProofNormals({125}, 5, dtype);
  const Tensor stacked = torch::mm(a, b).reshape({5, 25, 64});
  results->insert(results->end(),
                  {stacked, torch::mm(c, d), torch::linear(c, d.t(), d[0]),
                   torch::bmm(stacked, stacked.transpose(1, 2)), torch::mv(a, v),
                   torch::mv(a.t(), w), torch::dot(v, v), torch::dot(c.flatten(), c.flatten()),
                   torch::outer(v, w), torch::addmm(a, a.mm(b), b.t(), 0.5, 0.25)});
}

void AddFunctions(torch::Dtype dtype, std::vector<Tensor>* results) {
  const Tensor x = 2 * ProofNormals({997}, 6, dtype), positive = x.square() + 1e-3,
               rows = x.narrow(0, 0, 990).reshape({30, 33});
  const Tensor strided = rows.t();  // Not contiguous: LibTorch's own code, not MKL's.
  for (const Tensor& y : {x, strided}) {
    results->insert(results->end(), {y.exp(), y.tanh(), y.sigmoid(), y.erf(), y.atan(), y.sin(),
                                     y.cos(), y.expm1(), torch::softplus(y), torch::elu(y)});
  }
  for (const Tensor& y : {positive, positive.narrow(0, 0, 990).reshape({30, 33}).t()}) {
    results->insert(results->end(),
                    {y.log(), y.sqrt(), y.rsqrt(), y.log1p(), y.pow(0.7), y.reciprocal()});
  }
  results->insert(
      results->end(),
      {rows.softmax(-1), rows.log_softmax(-1), rows.logsumexp(-1), x.sum(), x.mean(), rows.sum(0),
       rows.sum(1), x.std(), rows.var(0), x.norm(), x.cumsum(0), torch::pow(0.999, positive)});
}

}  // namespace

Tensor ProofNormals(at::IntArrayRef shape, uint32_t step, torch::Dtype dtype) {
  Tensor values = torch::empty(shape, torch::kFloat64);
  RandomStream{.purpose = Purpose::kTest}.Normals(
      step, {values.mutable_data_ptr<double>(), static_cast<size_t>(values.numel())});
  return values.to(dtype);
}

std::vector<Tensor> ArithmeticResults() {
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> results;
  for (const torch::Dtype dtype : {torch::kFloat32, torch::kFloat64}) {
    AddProducts(dtype, &results);
    AddFunctions(dtype, &results);
  }
  return results;
}

std::string ArithmeticHash(const std::vector<Tensor>& results) {
  Sha256 hash;
  for (const Tensor& result : results) {
    const Tensor dense = result.contiguous();
    hash.Update({static_cast<const char*>(dense.const_data_ptr()), dense.nbytes()});
  }
  return ToHex(hash.Finish()).substr(0, kDigits);
}

absl::Status FixNumerics() {
  MENTOR_RETURN_IF_ERROR(kernels::CheckIsa());
  // Read when a device is opened.
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/1);
  const FixedEnvironment environment;
  MENTOR_RETURN_IF_ERROR(CheckCapability());
  MENTOR_RETURN_IF_ERROR(CheckLibraries());
  MENTOR_RETURN_IF_ERROR(CheckBranch());
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
  // oneDNN writes code for the processor that it finds.
  context.setUserEnabledMkldnn(false);
  // Subnormal numbers are kept. Flushing them is a mode of each thread, so results would depend on
  // the thread.
  return CheckResults();
}

}  // namespace mentor::agents
