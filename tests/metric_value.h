// Reads a metrics page, for tests.
#pragma once

#include <stdexcept>
#include <string>

#include "common/metrics.h"

namespace mentor::testing {

// The value of a series, its labels included: `mentor_rollout_reissued_total{reason="lagging"}`.
inline double MetricValue(const Metrics& metrics, const std::string& series) {
  const std::string text = "\n" + metrics.Text();
  const size_t at = text.find("\n" + series + " ");
  if (at == std::string::npos) throw std::runtime_error("no series " + series);
  return std::stod(text.substr(at + series.size() + 2));
}

}  // namespace mentor::testing
