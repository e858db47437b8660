// clang's libFuzzer on one target: MENTOR_FUZZ_TARGET names it.
//
//   MENTOR_FUZZ_TARGET=filter build-fuzz/bin/mentor-fuzz -artifact_prefix=build-fuzz/
//     -max_len=4096 -rss_limit_mb=2048 -timeout=10 -max_total_time=30 tests/fuzz/corpus/filter
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include <google/protobuf/stubs/logging.h>

#include "tests/fuzz/targets.h"

namespace {

const mentor::fuzz::Target& Chosen() {
  google::protobuf::SetLogHandler(nullptr);
  const char* name = std::getenv("MENTOR_FUZZ_TARGET");
  for (const mentor::fuzz::Target& target : mentor::fuzz::Targets()) {
    if (name != nullptr && target.name == name) return target;
  }
  std::fprintf(stderr, "MENTOR_FUZZ_TARGET is to be one of:");
  for (const mentor::fuzz::Target& target : mentor::fuzz::Targets())
    std::fprintf(stderr, " %s", target.name.c_str());
  std::fprintf(stderr, "\n");
  std::_Exit(2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const mentor::fuzz::Target& target = Chosen();
  target.run({reinterpret_cast<const char*>(data), size});
  return 0;
}
