// Experiments so small that they run to their end in a test.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <absl/strings/str_cat.h>

#include "cli/local/local_run.h"
#include "common/spec/spec.h"
#include "tests/checked_spec_of.h"

namespace mentor::testing {

// Small agents and a signal network as small, in text format; `rest` is the rest of the spec.
inline std::string TinySpec(const std::string& rest) {
  return absl::StrCat(R"(
    seed: 5
    agent { hidden_units: 8 epochs: 2 minibatches: 2 }
    signal {
      option { name: "enc1" value: "8" }
      option { name: "enc2" value: "8" }
      option { name: "lstm" value: "8" }
      option { name: "heads" value: "8" }
      option { name: "critic" value: "8" }
    }
  )",
                      rest);
}

inline v1::ExperimentSpec Checked(std::string_view text,
                                  const std::vector<std::string>& overrides = {}) {
  return LoadSpec(text, overrides).value();
}

// Runs to the end, quietly and without a report. The exit code.
inline int RunQuietly(const v1::ExperimentSpec& spec, const std::filesystem::path& out) {
  return RunLocally({.checked = CheckedSpecOf(spec), .out = out, .quiet = true, .report = false})
      .value();
}

}  // namespace mentor::testing
