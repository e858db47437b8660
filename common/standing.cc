#include "common/standing.h"

#include <utility>

namespace mentor {
namespace {

// Limit for remembered peers.
constexpr size_t kDepartedMax = 1024;

}  // namespace

void Standing::Delivered() {
  if (banned()) return;
  window_ = std::min(window_ + 1, options_.window_max);
  quarantine_ = options_.quarantine_min;
  strikes_ = 0;
  delivered_ = true;
  until_.reset();
}

bool Standing::Strike(std::chrono::nanoseconds now) {
  ++strikes_;
  window_ = std::max(uint32_t{1}, window_ / 2);
  if (strikes_ < options_.strikes_max || InQuarantine(now)) return false;
  Quarantine(now);
  return true;
}

void Standing::Quarantine(std::chrono::nanoseconds now) {
  if (banned()) return;
  strikes_ = std::max(strikes_, options_.strikes_max);
  window_ = 1;
  until_ = now + quarantine_;
  quarantine_ = std::min(2 * quarantine_, options_.quarantine_max);
}

void Standing::Ban() {
  strikes_ = std::max(strikes_, options_.strikes_max);
  window_ = 1;
  until_ = std::chrono::nanoseconds::max();
}

Standing DepartedStandings::Returned(const std::string& name, const Standing::Options& options) {
  auto known = standings_.extract(name);
  return known.empty() ? Standing(options) : std::move(known.mapped());
}

void TriedAt::Failed(const std::string& name, std::chrono::nanoseconds now,
                     const Options& options) {
  Add(name);
  if (errors_++ == 0) first_error_ = now;
  // The last delay ends with the span.
  const auto left = first_error_ + options.span - now;
  again_ = now + std::min(options.wait_min * (int64_t{1} << std::min(errors_ - 1, 16)),
                          std::max(left, options.wait_min));
}

void DepartedStandings::Left(const std::string& name, const Standing& standing) {
  if (standing.strikes() == 0) return;
  if (standings_.size() >= kDepartedMax) standings_.erase(standings_.begin());
  standings_.insert_or_assign(name, standing);
}

}  // namespace mentor
