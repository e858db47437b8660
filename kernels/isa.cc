#include "kernels/isa.h"

#include <atomic>
#include <cstdlib>
#include <string>
#include <string_view>

#include <absl/strings/str_cat.h>

namespace mentor::kernels {
namespace {

bool HaveAvx512() {
  return MENTOR_HAVE_AVX512 && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw");
}

// Empty when the environment names none.
std::string_view Wanted() {
  const char* wanted = std::getenv("MENTOR_ISA");
  return wanted == nullptr ? "" : wanted;
}

std::atomic<Isa>& Current() {
  static std::atomic<Isa> current = HaveAvx512() && Wanted() != "avx2" ? Isa::kAvx512 : Isa::kAvx2;
  return current;
}

}  // namespace

Isa CurrentIsa() {
  return Current().load(std::memory_order_relaxed);
}

absl::Status CheckIsa() {
  const std::string_view wanted = Wanted();
  if (wanted.empty() || wanted == "avx2" || (wanted == "avx512" && HaveAvx512()))
    return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "MENTOR_ISA is '", std::string(wanted), "': ",
      wanted == "avx512" ? "this CPU or this build has no AVX-512" : "avx2 and avx512 are known",
      "; leave it out for the best of this CPU"));
}

bool SetIsa(Isa isa) {
  if (isa == Isa::kAvx512 && !HaveAvx512()) return false;
  Current().store(isa, std::memory_order_relaxed);
  return true;
}

}  // namespace mentor::kernels
