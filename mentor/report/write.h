// Writes the files of a report: CSV tables, gnuplot scripts and gnuplot's pictures.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "mentor/report/figures.h"

namespace mentor::report {

struct WrittenDrawing {
  std::vector<std::filesystem::path> files;
  std::map<std::string, std::string> svgs;  // By name of the figure.
  absl::Status drawn;                       // The reason for missing pictures.
};

// Returns UNAVAILABLE when a file cannot be written.
absl::StatusOr<WrittenDrawing> WriteDrawing(const Drawing& drawing,
                                            const std::filesystem::path& folder,
                                            const std::filesystem::path& gnuplot);
absl::Status WriteText(const std::filesystem::path& path, const std::string& text);

}  // namespace mentor::report
