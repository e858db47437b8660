// Diagnoses this program, the server and the fleet; each finding comes with advice. The checks are
// pure; the verb `doctor` combines them.
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

// Checks the dates and the name of a PEM certificate.
Finding CheckCertificate(const std::string& subject, const std::string& pem, absl::Time now);
// Checks that a file with a secret has mode 0600, or another mode without access for other users.
Finding CheckSecretFile(const std::string& subject, const std::string& path);
// Checks builds, catalogues, learners without actors, and peers that are far away or draining.
std::vector<Finding> CheckFleet(const std::vector<v1::Peer>& peers, const std::string& own_build);
// Reports which experiments wait, and for what.
std::vector<Finding> CheckExperiments(const std::vector<v1::Experiment>& experiments,
                                      const std::vector<v1::Peer>& peers);

}  // namespace mentor::ctl
