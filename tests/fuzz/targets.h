// Readers of bytes from outside. Each target takes any bytes, must answer with OK or an error, and
// checks the answer. One list serves the fuzzer (fuzzer.cc, with clang's libFuzzer) and the replay
// in every test run (local/replay_test.cc). A file of corpus/NAME/ is an input for every run;
// inputs of found crashes belong there.
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
  uint32_t inputs;  // Inputs that a test run tries beside the corpus.
};

// Returns the targets by name. Thread-safe once main runs.
const std::vector<Target>& Targets();

template <typename Message>
bool Parse(std::string_view bytes, Message* message) {
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

struct Register {
  Register(const char* name, bool (*run)(std::string_view bytes), uint32_t inputs = 5000);
};

}  // namespace mentor::fuzz
