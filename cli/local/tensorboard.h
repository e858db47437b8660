// A run in TensorBoard: mentor-sync (docs/studies.md#loggers) writes the event files as a child of
// this process while the run is at work. It ends when this process is killed. Construct it in the
// main thread.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <absl/status/statusor.h>

#include "common/child_process.h"

namespace mentor {

class TensorboardFiles {
 public:
  // Writes what the run in `run` has by now into `folder`, and follows the run from here on.
  // NOT_FOUND has the command that installs mentor-sync; FAILED_PRECONDITION where it fails, after
  // its own words on stderr.
  static absl::StatusOr<std::unique_ptr<TensorboardFiles>> Start(
      const std::filesystem::path& run, const std::filesystem::path& folder);
  // Waits for the rest, with the evaluation. Call it when the run's store is closed: mentor-sync
  // follows until then.
  ~TensorboardFiles();

 private:
  TensorboardFiles(std::string command, std::unique_ptr<ChildProcess> process);

  const std::string command_;  // For people.
  const std::unique_ptr<ChildProcess> process_;
};

}  // namespace mentor
