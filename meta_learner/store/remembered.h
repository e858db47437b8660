// What the files of an experiment, and its damaged row, still say it is, for Reindex. Chooses the
// spec that other stored bytes prove. For one thread.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "mentor/v1/experiment.pb.h"
#include "meta_learner/store/database.h"

namespace mentor::meta_learner {

class Remembered {
 public:
  explicit Remembered(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Reads the files; damaged ones are only noted. Returns other errors.
  absl::Status ReadFolder();
  // Reads a row of the experiment that is not as it was written.
  void ReadRow(const sql::Query& row);
  // Returns name, owner, settings and the spec: the one with the hash of the checkpoints, else the
  // one that its file proves, else the one that most places have. Says in `from` which it is. With
  // an empty hash there are no checkpoints. Returns DATA_LOSS when nothing proves a spec.
  absl::StatusOr<v1::Experiment> Choose(const std::string& checkpoint_hash,
                                        std::string* from) const;

 private:
  struct Candidate {
    std::string place;  // For people.
    v1::ExperimentSpec spec;
    std::string hash;
    bool sealed = false;
  };
  void Add(const std::string& place, const v1::ExperimentSpec& spec, bool sealed = false);
  // Returns null when no candidate has the hash.
  const Candidate* With(const std::string& hash) const;
  // Returns the hash that most places have; empty when two have it equally often.
  std::string CommonHash() const;
  absl::Status NothingProves(const std::string& checkpoint_hash) const;

  const std::filesystem::path folder_;
  // Everything but the spec. From the folder's file, if it can be read, else from the row.
  v1::Experiment about_;
  std::string damage_;  // What is wrong with the file; empty: nothing, or it is missing.
  bool is_from_row_ = false;
  std::vector<Candidate> candidates_;
  std::string row_hash_;  // What the row says is its spec's; empty: no row.
};

}  // namespace mentor::meta_learner
