// What reads bytes from outside: each target takes any bytes, must answer with OK or an error, and
// checks what must hold of an answer. One list for the fuzzer (fuzzer.cc, with clang's libFuzzer)
// and for the replay in every test run (local/replay_test.cc). A file of corpus/NAME/ is an input
// that is tried each time; crashes that were found belong there.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mentor::fuzz {

struct Target {
  std::string name;
  // True when the bytes are what they should be. Ends the process when something that must hold
  // does not.
  bool (*run)(std::string_view bytes);
  uint32_t inputs;  // That a test run tries besides the corpus.
};

// By name. Thread-safe once main runs.
const std::vector<Target>& Targets();

template <typename Message>
bool Parse(std::string_view bytes, Message* message) {
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

struct Register {
  Register(const char* name, bool (*run)(std::string_view bytes), uint32_t inputs = 5000);
};

}  // namespace mentor::fuzz
