#include "learner/kernels/isa.h"

#include <atomic>
#include <cstdlib>
#include <string_view>

namespace mentor::learner {
namespace {

bool HaveAvx512() {
  return MENTOR_HAVE_AVX512 && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw");
}

std::atomic<Isa>& Current() {
  static std::atomic<Isa> current = [] {
    const char* wanted = std::getenv("MENTOR_ISA");
    const bool refused = wanted != nullptr && std::string_view(wanted) == "avx2";
    return HaveAvx512() && !refused ? Isa::kAvx512 : Isa::kAvx2;
  }();
  return current;
}

}  // namespace

Isa CurrentIsa() {
  return Current().load(std::memory_order_relaxed);
}

bool SetIsa(Isa isa) {
  if (isa == Isa::kAvx512 && !HaveAvx512()) return false;
  Current().store(isa, std::memory_order_relaxed);
  return true;
}

}  // namespace mentor::learner
