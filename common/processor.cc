// Ends a program that this processor cannot run with a message in place of SIGILL. Runs before the
// program's own constructors. The libraries do not need AVX2 to load.
#include <unistd.h>

namespace mentor {
namespace {

__attribute__((constructor(101), target("no-avx,no-avx2,no-fma,no-bmi,no-bmi2"))) void
CheckProcessor() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("bmi2"))
    return;
  constexpr char kWhy[] =
      "error: this processor has no AVX2, FMA and BMI2; Mentor is built for x86-64-v3: take an "
      "Intel Haswell, an AMD Zen, or later\n";
  static_cast<void>(!write(STDERR_FILENO, kWhy, sizeof(kWhy) - 1));
  _exit(1);
}

}  // namespace
}  // namespace mentor
