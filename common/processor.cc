// Ends a program that this processor cannot run with a message in place of SIGILL. Runs before the
// program's own constructors. The libraries do not need AVX2 to load. The C library knows the
// features of every maker's processors; the compiler's builtin only those of a few makers.
#include <sys/platform/x86.h>
#include <unistd.h>

namespace mentor {
namespace {

__attribute__((constructor(101))) void CheckProcessor() {
  if (CPU_FEATURE_ACTIVE(AVX2) && CPU_FEATURE_ACTIVE(FMA) && CPU_FEATURE_ACTIVE(BMI2)) return;
  constexpr char kWhy[] =
      "error: this processor has no AVX2, FMA and BMI2; Mentor is built for x86-64-v3: take an "
      "Intel Haswell, an AMD Zen, or later\n";
  static_cast<void>(!write(STDERR_FILENO, kWhy, sizeof(kWhy) - 1));
  _exit(1);
}

}  // namespace
}  // namespace mentor
