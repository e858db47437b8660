// Looks for what may be wrong between this program, the server and the fleet, and says of each
// finding what to do about it. The checks are pure; `doctor` puts them together.
#pragma once

#include <string>
#include <vector>

#include <absl/time/time.h>

#include "mentor/v1/experiment.pb.h"

namespace mentor::ctl {

struct Finding {
  enum class Grade { kGood, kNotice, kBad };
  Grade grade = Grade::kGood;
  std::string subject;  // "server", "own certificate", "actors/x".
  std::string what;
  std::string advice;  // Empty when there is nothing to do.
};

// Dates and name of a PEM certificate.
Finding CheckCertificate(const std::string& subject, const std::string& pem, absl::Time now);
// Files that hold secrets: mode 0600, or another that nobody else can read.
Finding CheckSecretFile(const std::string& subject, const std::string& path);
// Builds, catalogues, learners without actors, peers far away or draining.
std::vector<Finding> CheckFleet(const std::vector<v1::Peer>& peers, const std::string& own_build);
// What waits for whom.
std::vector<Finding> CheckExperiments(const std::vector<v1::Experiment>& experiments,
                                      const std::vector<v1::Peer>& peers);

}  // namespace mentor::ctl
