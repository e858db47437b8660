// Published curves to draw beside those of runs: success rates by episode of the lifetime, from a
// CSV file. Rows are selected by the values of their columns, so one file may hold a whole paper.
// Functions without state.
//
//   method,episode,success[,split][,ANY OTHER]   a line that begins with # is a comment
//   episode  1, 2, 3, ..., or "deterministic": without noise, after the lifetime
//   success  a rate, from 0 to 1
//   split    "test" (the default), "train", or a name of the tasks, as in EvaluationRow
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

namespace mentor::report {

struct PublishedCurve {
  std::string split;
  std::string method;
  std::map<int, double> episodes = {};  // Success rate by episode, from 1; episodes may be missing.
  std::optional<double> deterministic = {};
};

struct Published {
  std::string name = "published";  // In legends.
  std::vector<PublishedCurve> curves = {};
};

// `rows` is COLUMN=VALUE, several separated by commas and quoted as in CSV; empty: all rows. Only
// the selected rows must have valid numbers. INVALID_ARGUMENT names file, line, column and remedy.
absl::StatusOr<Published> ReadPublished(const std::filesystem::path& file, std::string_view rows,
                                        const std::string& name = "published");

}  // namespace mentor::report
