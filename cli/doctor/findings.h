// What is wrong with a spec, judged from measured numbers. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "cli/doctor/measurement.h"

namespace mentor::doctor {

struct Finding {
  std::string id;        // Anchor in docs/it_does_not_learn.md.
  bool problem = false;  // Else it is worth a look, no more.
  std::string text;      // What was measured.
  std::string remedy;    // What to do.
};

// Findings in the order in which one should look at them.
std::vector<Finding> Judge(const Measured& measured);

// True if the shaped reward gets agents somewhere within the lifetime: success decides wherever the
// environment reports it.
bool Learns(const Learning& learning, bool reports_success);
// True if some number is so large that it may drown the others: then it is worth the time to
// measure agents that normalise.
bool UnlikeScales(const RandomAgents& random);

// "0.2 [-1.1, 1.5] points" of a change of a share.
std::string PointsText(const report::Interval& change);

}  // namespace mentor::doctor
